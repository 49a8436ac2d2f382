const GIT = new URL("../../.git/", import.meta.url);

/** The commit of this checkout, read from git's files; null where there is none, or only a link to one (`git worktree`). */
export async function currentCommit(git: URL = GIT): Promise<string | null> {
  try {
    const head = (await Deno.readTextFile(new URL("HEAD", git))).trim();
    const ref = /^ref: (.+)$/.exec(head)?.[1];
    return ref === undefined ? head : await looseRef(git, ref) ?? await packedRef(git, ref);
  } catch (error) {
    const { NotADirectory, NotFound } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return null;
    throw error;
  }
}

async function looseRef(git: URL, ref: string): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(new URL(ref, git))).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function packedRef(git: URL, ref: string): Promise<string | null> {
  const lines = (await Deno.readTextFile(new URL("packed-refs", git))).split("\n");
  return lines.find((line) => line.endsWith(` ${ref}`))?.split(" ")[0] ?? null;
}

/** What another process takes, as Linux counts it. */

export interface Usage {
  /** Time on all cores since it began. */
  cpuSeconds: number;
  /** Memory of its own that is not swapped out. */
  residentBytes: number;
}

/** Clock ticks per second and bytes per page, which Linux has had on all common machines for long. */
const TICKS = 100;
const PAGE_BYTES = 4096;

/** @returns null where there is no /proc. */
export async function usageOf({ pid }: { pid: number }): Promise<Usage | null> {
  if (Deno.build.os !== "linux") return null;
  // By a program, as Deno lets no one read /proc who may not do everything.
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/stat`] }).output();
  // The name of the program, in parentheses, may hold anything.
  const fields = new TextDecoder().decode(stdout).split(") ").at(-1)!.split(" ").map(Number);
  const [userTicks, systemTicks, pages] = [fields[11], fields[12], fields[21]];
  return { cpuSeconds: (userTicks + systemTicks) / TICKS, residentBytes: pages * PAGE_BYTES };
}

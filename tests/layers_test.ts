/** The house: what may import what, and what may touch Deno. */
import assert from "node:assert/strict";
import { dirname, join, normalize } from "node:path";
import denoConfig from "../deno.json" with { type: "json" };

/** Floors from the top: a file imports from its own room and from the floors below. */
const FLOORS = [
  ["cli", "mod.ts"],
  ["platform"],
  ["bench", "serve"],
  ["run"],
  ["report"],
  ["train"],
  ["dpo", "generate"],
  ["data"],
  ["text"],
  ["model"],
  ["kernels"],
  ["gpu"],
  ["formats"],
  ["config"],
  ["losses"],
  ["errors.ts", "random.ts"],
];

/** Rooms that know Deno. */
const EDGES = ["cli", "mod.ts", "platform"];

async function sourcesUnder(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) paths.push(...await sourcesUnder(path));
    else if (name.endsWith(".ts")) paths.push(path);
  }
  return paths.sort();
}

const sources = await sourcesUnder("src");
const texts = new Map(
  await Promise.all(sources.map(async (path) => [path, await Deno.readTextFile(path)] as const)),
);

/** The room of a file: the name under src/. */
const roomOf = (path: string) => path.split("/")[1];
const browserSafe = sources.filter((path) => !EDGES.includes(roomOf(path)));
/** HTTP stands beside the command line; it knows Web standards alone, and nothing of the edges. */
const routes = await sourcesUnder("routes");

/** The files of src/ that a file imports. */
function importsOf(path: string): string[] {
  const specifiers = texts.get(path)!.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"(\.[^"]+)"/g);
  return [...specifiers]
    .map(([, specifier]) => normalize(join(dirname(path), specifier)))
    .filter((target) => target.startsWith("src/"));
}

Deno.test("every room has a floor", () => {
  const rooms = new Set(sources.map(roomOf));
  assert.deepEqual([...rooms].sort(), FLOORS.flat().sort());
});

Deno.test("imports go downwards", () => {
  const floorOf = (path: string) => FLOORS.findIndex((rooms) => rooms.includes(roomOf(path)));
  const wrong = sources.flatMap((path) =>
    importsOf(path)
      .filter((target) => roomOf(target) !== roomOf(path) && floorOf(target) <= floorOf(path))
      .map((target) => `${path} imports ${target}`)
  );
  assert.deepEqual(wrong, []);
  assert.ok(sources.some((path) => importsOf(path).length > 0), "no import was found");
});

Deno.test("no files import each other in a circle, not even types", () => {
  const left = new Map(sources.map((path) => [path, importsOf(path)]));
  const isFree = (path: string) => !left.get(path)!.some((target) => left.has(target));
  for (let free = sources; free.length > 0;) {
    free = [...left.keys()].filter(isFree);
    for (const path of free) left.delete(path);
  }
  assert.deepEqual([...left.keys()], [], "these are of circles, or import files of circles");
});

Deno.test("routes do without the edges", async () => {
  const edges = new RegExp(`from "\\.\\./src/(${EDGES.join("|")})/`);
  for (const path of routes) assert.doesNotMatch(await Deno.readTextFile(path), edges, path);
  assert.ok(routes.length > 10);
});

Deno.test("nothing below the command line prints", () => {
  const printing = sources.filter((path) =>
    roomOf(path) !== "cli" && /\bconsole\.|\bDeno\.std(?:out|err)\b/.test(texts.get(path)!)
  );
  assert.deepEqual(printing, []);
});

Deno.test("what says that it is browser compatible is all but the edges", () => {
  const mark = "// This module is browser compatible.\n";
  const marked = sources.filter((path) => texts.get(path)!.startsWith(mark));
  assert.deepEqual(marked, browserSafe);
});

// Neither Deno nor Node are among these libraries, so a use of them does not type-check.
Deno.test("everything but the edges type-checks for a browser with WebGPU", async () => {
  await withChecker({ lib: [...BROWSER, "deno.webgpu"] }, async (check, directory) => {
    const { success, stderr } = await check(...browserSafe, ...routes);
    assert.ok(success, stderr);
    const escaped = `${directory}/escaped.ts`;
    await Deno.writeTextFile(escaped, "export const version = Deno.version;\n");
    assert.match((await check(escaped)).stderr, /Cannot find name 'Deno'/);
  });
});

// JavaScript, for the page has no build: what is checked are names and what is known of types, no more.
Deno.test("the page's scripts type-check for a browser", async () => {
  const options = { lib: BROWSER, checkJs: true, strict: false };
  await withChecker(options, async (check, directory) => {
    const { success, stderr } = await check("routes/page/main.js");
    assert.ok(success, stderr);
    const mistaken = `${directory}/mistaken.js`;
    await Deno.writeTextFile(mistaken, "export const text = documnet.title;\n");
    assert.match((await check(mistaken)).stderr, /Cannot find name 'documnet'/);
  });
});

const BROWSER = ["dom", "dom.iterable", "dom.asynciterable", "esnext"];

type Check = (...files: string[]) => Promise<{ success: boolean; stderr: string }>;

/** Gives `body` a type checker with these options, and a folder for files of its own. */
async function withChecker(
  options: Record<string, unknown>,
  body: (check: Check, directory: string) => Promise<void>,
) {
  const directory = await Deno.makeTempDir();
  try {
    const config = `${directory}/deno.json`;
    const { imports } = denoConfig;
    await Deno.writeTextFile(
      config,
      JSON.stringify({ imports, compilerOptions: { types: [], ...options } }),
    );
    await body(async (...files) => {
      const args = ["check", "--quiet", "--config", config, ...files];
      const { success, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
      return { success, stderr: new TextDecoder().decode(stderr) };
    }, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

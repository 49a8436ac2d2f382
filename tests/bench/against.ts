/**
 * Compares this tree's speed with an older one's on this machine: both take turns, so that what else the machine does
 * meets both alike. Ratios are of speeds: 2 means that this tree is twice as fast.
 *
 *     deno run -P=test tests/bench/against.ts COMMIT|DIRECTORY [step|decode|train ...] [--turns N]
 *
 * A commit is checked out into a temporary git worktree; a directory is taken as it is. `step` and `decode` are benchmarks
 * of the shipped model, `train` is the whole default command without its cache.
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "../../src/bench/timing.ts";
import type { BenchReport } from "../../src/cli/bench.ts";

/** A speed by what was measured, in 1/s or tokens/s. */
type Speeds = Map<string, number>;

const HERE = new URL("../..", import.meta.url).pathname;

/** The default job of this tree, which an older one shipped with other data. */
const SHIPPED = [
  ...["--model", `${HERE}fixtures/model`, "--dataset", `${HERE}fixtures/pairs/train.jsonl`],
  ...["--eval-dataset", `${HERE}fixtures/pairs/eval.jsonl`, "--learning-rate", "5e-5"],
];

const MEASURES: Record<string, (tree: string, scratch: string) => Promise<Speeds>> = {
  async step(tree) {
    const { steps } = await bench(tree, "step");
    const speeds: Speeds = new Map();
    for (const { name, milliseconds } of steps!) {
      // The first of a name has the seed preset: all that commits before there were recipes measured.
      if (milliseconds !== null && !speeds.has(name)) speeds.set(name, 1000 / milliseconds);
    }
    return new Map(Array.from(speeds, ([name, speed]) => [`step, ${name}`, speed]));
  },
  async decode(tree) {
    const { decode } = await bench(tree, "decode");
    return new Map(
      decode!.map(({ name, batch, tokensPerSecond }) =>
        [`decode, ${name}, batch ${batch}`, tokensPerSecond] as const
      ),
    );
  },
  async train(tree, scratch) {
    const output = join(scratch, crypto.randomUUID());
    const began = performance.now();
    await deno(tree, ["task", "train", ...SHIPPED, "--no-cache", "--output", output]);
    return new Map([["train, whole command", 1000 / (performance.now() - began)]]);
  },
};

async function bench(tree: string, suite: string): Promise<BenchReport> {
  return JSON.parse(await deno(tree, ["task", "-q", "bench", "--suite", suite, "--json"]));
}

const deno = (tree: string, args: string[]) => execute(tree, Deno.execPath(), args);

/** Runs a program in a folder to its end, and gives what it printed. */
async function execute(cwd: string, program: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`${program} ${args.join(" ")} failed in ${cwd}: ${decoder.decode(stderr)}`);
  }
  return decoder.decode(stdout);
}

async function compare(other: string, what: string[], turns: number, scratch: string) {
  for (const name of what) {
    const [theirs, ours] = [new Map<string, number[]>(), new Map<string, number[]>()];
    for (let turn = 0; turn < turns; turn++) {
      for (const [tree, speeds] of [[other, theirs], [HERE, ours]] as const) {
        for (const [key, speed] of await MEASURES[name](tree, scratch)) {
          speeds.set(key, [...speeds.get(key) ?? [], speed]);
        }
      }
    }
    for (const [key, speeds] of ours) {
      const before = theirs.get(key);
      if (!before) continue;
      const ratios = speeds.map((speed, turn) => (speed / before[turn]).toFixed(2));
      const ratio = median(speeds) / median(before);
      console.log(`${key}: ${ratio.toFixed(2)} (by turns ${ratios.join(", ")})`);
    }
  }
}

const { values, positionals: [base, ...asked] } = parseArgs({
  allowPositionals: true,
  options: { turns: { type: "string", default: "3" } },
});
const what = asked.length > 0 ? asked : Object.keys(MEASURES);
const turns = Number(values.turns);
const unknown = what.filter((name) => !Object.hasOwn(MEASURES, name));
if (!base || unknown.length > 0 || !(turns >= 1)) {
  console.error(
    "Expected a commit or a directory, then any of " +
      `${Object.keys(MEASURES).join(", ")}, and --turns N${
        unknown.length > 0 ? `; found ${unknown.join(", ")}` : ""
      }`,
  );
  Deno.exit(2);
}
const scratch = await Deno.makeTempDir();
try {
  const isDirectory = await Deno.stat(join(base, "deno.json")).then(() => true, () => false);
  const tree = isDirectory ? base : join(scratch, "tree");
  if (!isDirectory) await execute(HERE, "git", ["worktree", "add", "--detach", tree, base]);
  try {
    await compare(tree, what, turns, scratch);
  } finally {
    if (!isDirectory) await execute(HERE, "git", ["worktree", "remove", "--force", tree]);
  }
} finally {
  await Deno.remove(scratch, { recursive: true });
}

import assert from "node:assert/strict";
import { Interrupted } from "../../src/cli/context.ts";
import { fileURLToPath } from "node:url";
import { run as runFilter } from "../../src/cli/filter.ts";
import { resolveOptions } from "../../src/config/resolve.ts";
import { inTemporaryDirectory, jsonLines, run, runOk } from "../e2e/command.ts";
import { MemoryOutput } from "./output.ts";

const GOOD = "A tomato plant needs two litres of water each morning while the summer heat lasts.";
const BAD = "You should ask somebody else about such things because this is not interesting here.";
const strong = { prompt: "How much water?", chosen: GOOD, rejected: BAD, id: 7 };
const weak = { prompt: "How much water?", chosen: "I don't know.", rejected: BAD };
const turns = {
  chosen: [{ role: "user", content: "How?" }, { role: "assistant", content: GOOD }],
  rejected: [{ role: "user", content: "How?" }, { role: "assistant", content: BAD }],
};

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();

async function writeRows(path: string, rows: unknown[]): Promise<string> {
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

Deno.test("filter: keeps strong pairs as they are, and the others with the rules they fail", () =>
  inTemporaryDirectory(async (path) => {
    const dataset = await writeRows(`${path}/rows.jsonl`, [strong, weak, turns]);
    const files = ["--output", `${path}/kept.jsonl`, "--rejects", `${path}/rejects.jsonl`];
    const { stdout } = await runOk("filter", "--dataset", dataset, ...files);
    assert.deepEqual(jsonLines(await Deno.readTextFile(`${path}/kept.jsonl`)), [strong, turns]);
    const [rejected, ...rest] = jsonLines<Record<string, unknown>>(
      await Deno.readTextFile(`${path}/rejects.jsonl`),
    );
    assert.deepEqual(rest, []);
    assert.deepEqual(rejected, {
      ...weak,
      failed_rules: ["min-chars", "max-stop-word-ratio", "min-noun-verb-gain", "max-weak-phrases"]
        .filter((rule) => (rejected.failed_rules as string[]).includes(rule)),
    });
    assert.ok((rejected.failed_rules as string[]).includes("max-weak-phrases"));
    assert.match(stdout, /2 of 3 pairs are strong\n/);
    assert.match(stdout, /\nmin-chars +60 +1\n/);
    assert.match(stdout, /not NLTK's/);
    assert.deepEqual(await names(path), ["kept.jsonl", "rejects.jsonl", "rows.jsonl"]);
  }));

Deno.test("filter: every rule has a threshold and can be turned off; JSON tells them", () =>
  inTemporaryDirectory(async (path) => {
    const dataset = await writeRows(`${path}/rows.jsonl`, [weak]);
    const json = async (...flags: string[]) =>
      JSON.parse((await runOk("filter", "--dataset", dataset, "--json", ...flags)).stdout);
    const all = await json();
    assert.deepEqual([all.pairs, all.kept], [1, 0]);
    const failed = Object.entries(all.rejected).filter(([, count]) => count).map(([name]) => name);
    const off = failed.flatMap((rule) => [`--${rule}`, "off"]);
    const open = await json(...off);
    assert.equal(open.kept, 1);
    assert.equal(open.limits.minChars, "off");
    const stricter = await json(...off, "--max-overlap", "0");
    assert.equal(stricter.limits.maxOverlap, 0);
    assert.deepEqual(await names(path), ["rows.jsonl"], "nothing is written unasked");
  }));

Deno.test("filter: a broken row, an interrupt or an empty file leave nothing behind", () =>
  inTemporaryDirectory(async (path) => {
    const files = ["--output", `${path}/kept.jsonl`, "--rejects", `${path}/rejects.jsonl`];
    const dataset = await writeRows(`${path}/rows.jsonl`, [strong, { text: "no pair" }]);
    const broken = await run("filter", "--dataset", dataset, ...files);
    assert.equal(broken.code, 2);
    assert.match(broken.stderr, /rows\.jsonl, line 2: expected "chosen" and "rejected"/);

    const resolved = resolveOptions("filter", {
      flags: [["dataset", dataset], ["output", `${path}/kept.jsonl`]],
    });
    const output = new MemoryOutput();
    const context = { stdout: output, stderr: output, signal: AbortSignal.abort(), resolved };
    await assert.rejects(runFilter(resolved.options, context), Interrupted);
    assert.equal(output.text, "");

    await Deno.writeTextFile(dataset, "\n");
    const empty = await run("filter", "--dataset", dataset, ...files);
    assert.match(empty.stderr, /^error: Cannot filter .*: expected at least one row, found none/);
    assert.deepEqual(await names(path), ["rows.jsonl"]);
  }));

Deno.test("filter: outputs that would overwrite the dataset or each other are refused", () =>
  inTemporaryDirectory(async (path) => {
    const dataset = await writeRows(`${path}/rows.jsonl`, [strong]);
    const refused = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run("filter", "--dataset", dataset, ...flags);
      assert.equal(code, 2);
      assert.match(stderr, message);
    };
    await refused(/different files/, "--output", `${path}/./rows.jsonl`);
    await refused(/different/, "--output", `${path}/a.jsonl`, "--rejects", `${path}/a.jsonl`);
    await refused(/--output to end in \.jsonl/, "--output", `${path}/a.parquet`);
    const ids = { prompt_ids: [1], chosen_ids: [2], rejected_ids: [3] };
    await writeRows(dataset, [ids]);
    await refused(/expected text or messages, found token ids/, "--output", `${path}/a.jsonl`);
    assert.deepEqual(await names(path), ["rows.jsonl"]);
  }));

// In a process of its own, whose memory nothing else fills.
Deno.test("filter: 160,000 pairs in less than 300 MB, with the permissions of its task", () =>
  inTemporaryDirectory(async (path) => {
    const rows = await Deno.readTextFile("fixtures/pairs/train.jsonl");
    const dataset = `${path}/rows.jsonl`;
    for (let i = 0; i < 400; i++) await Deno.writeTextFile(dataset, rows, { append: true });
    const program = fileURLToPath(new URL("memory_of_command.ts", import.meta.url));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-prompt", "-P=filter", program, "filter", "--json"],
        ...["--dataset", dataset, "--output", `${path}/kept.jsonl`, "--min-chars", "off"],
      ],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const [report, memory] = jsonLines<{ pairs: number; kept: number; peakBytes: number }>(
      new TextDecoder().decode(stdout),
    );
    assert.equal(report.pairs, 160_000);
    assert.ok(report.kept > 40_000, `${report.kept} kept`);
    assert.ok(memory.peakBytes > 50e6 && memory.peakBytes < 300e6, `${memory.peakBytes / 1e6} MB`);
  }));

/** The page's loop as a person goes through it: preferring, training, comparing, in a real browser. */
import assert from "node:assert/strict";
import { ignoreMissing } from "../../src/platform/files.ts";
import { CHROMIUM, lackOfChromium } from "./chromium.ts";
import { serve } from "./server.ts";
import { unless } from "../skip.ts";

Deno.test(
  unless(lackOfChromium, "pairs, training, comparison, runs in a browser"),
  async () => {
    const folder = `runs/.test-${crypto.randomUUID()}`; // the server may write in runs/ alone
    await using _folder = {
      [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }).catch(ignoreMissing),
    };
    await Deno.mkdir(folder, { recursive: true });
    const preferences = ["--preferences", `${folder}/preferences.db`];
    await using server = await serve(
      "--reference",
      "fixtures/model",
      ...preferences,
      "--output",
      folder,
    );
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "-A", "tests/e2e/loop_browser.ts", CHROMIUM, server.address],
    }).output();
    const decoder = new TextDecoder();
    assert.equal(code, 0, decoder.decode(stderr));
    const {
      training,
      sets,
      cancelled,
      chat,
      runs,
      keyboard,
      barred,
      overflow,
      complaints,
      strayRequests,
    } = JSON
      .parse(
        decoder.decode(stdout),
      );

    assert.match(training.refusal, /broken.jsonl, line 1/);
    assert.match(training.line, /^deno task train .*--beta 0.2.* --max-steps 24/);
    assert.match(training.misspelt, /save_steps|save-steps/);
    assert.match(training.lastEventId, /-0$/);
    const { early, late } = training;
    assert.ok(early.step < late.step, `step ${early.step}, then ${late.step}`);
    assert.equal(late.step, 24);
    for (const { pixels } of [early, late]) assert.ok(pixels > 100, `${pixels} pixels of a curve`);
    assert.match(training.linesAfterReload, /^Created fine-tuning job/);

    assert.deepEqual(chat.selected, ["ft:policy:loop", "policy"]);
    assert.equal(chat.answers.length, 2);
    for (const answer of chat.answers) assert.match(answer, /\S/);

    assert.equal(cancelled.left, 0, "nothing can be done with it any more");
    assert.match(cancelled.listed, /cancelled/);
    assert.ok(!cancelled.models.includes("ft:policy:unwanted"), `${cancelled.models}`);
    assert.ok(cancelled.models.includes("ft:policy:short"), `${cancelled.models}`);

    assert.equal(sets.chosen.length, 2);
    assert.deepEqual(sets.kept, sets.chosen);
    assert.deepEqual(sets.legend, ["step", "training", "preferences (dots)", "few (rings)"]);

    assert.equal(runs.names.length, 2);
    for (const name of ["ft:policy:short", "ft:policy:loop"]) assert.ok(runs.names.includes(name));
    const [short, loop] = ["ft:policy:short", "ft:policy:loop"].map((name) =>
      runs.measures[runs.names.indexOf(name)]
    );
    assert.match(
      loop,
      /^loss 0.693 → 0.\d+ · reward accuracy 0.500 → \S+ · reward margin 0.00 → \S+$/,
    );
    for (const set of ["few", "preferences"]) {
      assert.match(short, RegExp(`(^| · )${set} loss 0.693 → 0.\\d+ · `));
      assert.match(short, RegExp(`${set} reward margin 0.00 → \\S+( · |$)`));
    }
    assert.match(runs.title, /^smoldpo train/);
    assert.equal(runs.width, "992px");
    assert.deepEqual(runs.compared[0], ["", "A first", "A final", "B first", "B final"]);
    assert.ok(runs.compared.some(([name]: string[]) => name === "rewards/margins"));
    assert.ok(runs.differences.some((row: string[]) => `${row}` === "max_steps,3,24"));
    const checkpoints = runs.served.filter((name: string) => /:step-12$/.test(name));
    assert.equal(checkpoints.length, 1);
    assert.deepEqual(runs.unloaded, runs.served.filter((name: string) => name !== checkpoints[0]));

    for (const { count, reached } of [keyboard.train, keyboard.runs]) {
      assert.ok(count > 10, `${count} controls`);
      assert.equal(reached, count);
    }
    assert.deepEqual(barred, []);
    for (const pixels of Object.values<number>(overflow)) {
      assert.ok(
        pixels <= 0,
        `${pixels} too wide`,
      );
    }
    // What the server refused, because it was wrong on purpose.
    const refusal =
      "Failed to load resource: the server responded with a status of 400 (Bad Request)";
    assert.deepEqual(complaints, [refusal, refusal]);
    assert.deepEqual(strayRequests, []);
  },
);

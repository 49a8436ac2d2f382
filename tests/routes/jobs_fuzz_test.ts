/** Jobs with fields and options of every kind: each is taken, or refused with a reason, and none is a defect of ours. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { OPTIONS } from "../../src/config/options.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, StandIn } from "./jobs.ts";
import { workshop } from "./served.ts";

const odd = fc.oneof(
  fc.string({ maxLength: 20, unit: "binary" }),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constantFrom(null, "", "auto", 0, -1, 1e308, 2 ** 31, 2 ** 53, "../x", "__proto__", [], {}),
);
const maybe = <T>(...right: T[]) =>
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...right) }, odd);
/** Without these nothing goes at all. */
const NEEDED = new Set(["model", "training_file", "method", "file"]);
const fields = (arbitraries: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(arbitraries, {
    requiredKeys: Object.keys(arbitraries).filter((key) => NEEDED.has(key)),
  });

/** Options by their own names, with values that may be right for some. */
const options = fc.dictionary(
  fc.oneof(
    fc.constantFrom(...Object.keys(OPTIONS)),
    fc.constantFrom("learning_rate", "max-length", "batch_size", "lr", "__proto__", "constructor"),
  ),
  fc.oneof(odd, fc.constantFrom(1, 2, 64, 0.5, 1e-5, "sum", "drop", "all", "linear", true)),
  { maxKeys: 3 },
);
const model = maybe("policy", "reference");
const files = ["fixtures", "held-out"];

const heldOut = fc.oneof(
  fc.array(maybe(...files), { maxLength: 3 }),
  fc.dictionary(
    fc.oneof(fc.constantFrom("a", "b", "__proto__", "x y"), fc.string()),
    maybe(...files),
  ),
);

const training = fields({
  model,
  suffix: maybe("mine", "a.b-c"),
  training_file: maybe(...files),
  validation_file: maybe(...files, null),
  seed: maybe(0, 42),
  metadata: maybe({ a: "b" }),
  integrations: maybe([], [1]),
  method: fc.oneof(
    { weight: 4, arbitrary: fc.constant({ type: "dpo" }) },
    fields({
      type: maybe("dpo", "supervised"),
      dpo: fields({
        hyperparameters: fields({
          beta: maybe<unknown>(0.1, "auto"),
          batch_size: maybe<unknown>(2, "auto"),
          n_epochs: maybe<unknown>(1, "auto"),
          learning_rate_multiplier: maybe<unknown>(1, 2),
        }),
      }),
    }),
    odd,
  ),
  smoldpo: fc.oneof(
    options,
    odd,
    fields({ eval_dataset: fc.oneof(maybe<unknown>(files, { a: "held-out" }), heldOut) }),
  ),
});
const evaluation = fields({
  model,
  reference: maybe("reference", null),
  file: maybe(...files),
  smoldpo: fc.oneof(options, odd),
});
const servedRun = fields({ step: maybe(1, null) });

const request = fc.oneof(
  fc.tuple(fc.constantFrom(JOBS, `${JOBS}/preview`), training),
  fc.tuple(fc.constant("/v1/evaluations"), evaluation),
  fc.tuple(fc.constant("/v1/runs/none/serve"), servedRun),
  fc.tuple(
    fc.constantFrom(`${JOBS}?`, "/v1/evaluations?", "/v1/files?", "/v1/runs?", "/v1/preferences?")
      .chain((path) =>
        fc.tuple(fc.constantFrom("limit", "after", "before", "order", "x"), odd).map((
          [key, value],
        ) => path + new URLSearchParams([[key, String(value)]]))
      ),
    fc.constant(undefined),
  ),
);

/** No request takes as long, on however slow a machine, unless it finds a way to keep the server busy. */
const HANGS_MS = 30_000;

Deno.test("jobs with fields of every kind get an answer that is not 5xx, in time", () =>
  inTemporaryDirectory(async (directory) => {
    await using shop = workshop(`${directory}/runs`, { worker: new StandIn() });
    const statuses = new Map<number, number>();
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(request, async ([path, fields]) => {
        const began = performance.now();
        const { status, body } = await shop.ask(path, fields);
        const ms = performance.now() - began;
        const shown = `${status} for ${path} ${JSON.stringify(fields)}: ${JSON.stringify(body)}`;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        assert.ok(status < 500, shown);
        if (status >= 400) {
          assert.deepEqual(Object.keys(body.error), ["message", "type", "param", "code"], shown);
        }
        assert.ok(ms < HANGS_MS, `${ms} ms: ${shown}`);
        // The next one shall find as much room.
        if (status === 200 && body.status) {
          accepted++;
          const { status } = await shop.ask(`${path}/${body.id}/cancel`, {});
          assert.equal(status, 200, shown);
        }
      }),
      { numRuns: 20_000, seed: 20, endOnFailure: true },
    );
    assert.ok((statuses.get(400) ?? 0) > 500 && accepted > 50, `${accepted}; ${[...statuses]}`);
  }));

import assert from "node:assert/strict";
import { CHANGEABLE, fingerprintOf, NAMES, type RunContent } from "../../src/cli/fingerprint.ts";
import { type OptionName, type Options, resolveOptions } from "../../src/config.ts";
import { optionNames, specOf } from "../../src/config/values.ts";

const content: RunContent = {
  precision: "f32",
  totalSteps: 10,
  model: { config: "c", weights: "w" },
  reference: null,
  data: "d",
};

/** Another value that the option may have. */
function other(name: OptionName, value: unknown): unknown {
  const spec = specOf(name);
  if (spec.kind === "boolean") return !value;
  if (spec.kind === "choice") return spec.choices.find((choice) => choice !== value);
  return spec.kind === "number" ? (typeof value === "number" ? value + 1 : 1) : `${value}, changed`;
}

/** What makes a run another one, for all the same content. */
function differs(options: Options<"train"> | Options<"sft">, change: Record<string, unknown>) {
  const changed = JSON.stringify(fingerprintOf({ ...options, ...change }, content));
  return changed !== JSON.stringify(fingerprintOf(options, content));
}

for (const command of ["train", "sft"] as const) {
  for (const streaming of [false, true]) {
    Deno.test(`every option of ${command} but the changeable makes another run${streaming ? ", streamed" : ""}`, () => {
      const resolved = resolveOptions(command, {}).options;
      const options = { ...resolved, streaming } as Options<"train"> | Options<"sft">;
      for (const name of optionNames(command)) {
        // The precision that the device gave counts, not the one that was asked for.
        const free = CHANGEABLE.has(name) || NAMES.models.has(name) || name === "precision" ||
          !options.streaming && NAMES.dataset.has(name);
        if (name === "streaming") continue;
        const change = { [name]: other(name, Reflect.get(options, name)) };
        assert.equal(differs(options, change), !free, name);
      }
      assert.ok(differs(options, { streaming: !streaming }));
    });
  }
}

Deno.test("weights, data and precision make another run", () => {
  const { options } = resolveOptions("train");
  const print = (change: Partial<RunContent>) =>
    JSON.stringify(fingerprintOf(options, { ...content, ...change }));
  const changes: Partial<RunContent>[] = [
    { model: { ...content.model, weights: "x" } },
    { model: { ...content.model, config: "x" } },
    { reference: content.model },
    { data: "x" },
    { precision: "f16" },
  ];
  for (const change of changes) assert.notEqual(print(change), print({}));
});

Deno.test("a run may be made longer where no rate depends on its end", () => {
  const { options } = resolveOptions("train");
  const mayGrow = (change: Partial<Options<"train">>) => {
    const [short, long] = [10, 20].map((totalSteps) =>
      JSON.stringify(fingerprintOf({ ...options, ...change }, { ...content, totalSteps }))
    );
    return short === long;
  };
  assert.ok(mayGrow({}));
  assert.ok(mayGrow({ warmupSteps: 5 }));
  assert.ok(!mayGrow({ warmupSteps: 0.5 }));
  assert.ok(!mayGrow({ lrSchedulerType: "linear" }));
  assert.ok(!mayGrow({ lrSchedulerType: "cosine", warmupSteps: 5 }));
});

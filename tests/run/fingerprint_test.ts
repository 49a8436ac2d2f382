import assert from "node:assert/strict";
import { fingerprintOf, type RunContent } from "../../src/run/fingerprint.ts";
import { type OptionName, type Options, resolveOptions } from "../../src/config/resolve.ts";
import { SECTIONS } from "../../src/config/options.ts";
import { optionNames, specOf } from "../../src/config/values.ts";
import { checkFingerprint } from "../../src/train/resume.ts";

const content: RunContent = {
  precision: "f32",
  totalSteps: 10,
  model: { config: "c", weights: "w" },
  reference: null,
  data: "d",
  heldOut: ["h"],
};

/** Another value that the option may have. */
function other(name: OptionName, value: unknown): unknown {
  const spec = specOf(name);
  if (spec.kind === "boolean") return !value;
  if (spec.kind === "choice" || spec.kind === "choices") {
    return spec.choices.find((choice) => choice !== value);
  }
  return spec.kind === "number" ? (typeof value === "number" ? value + 1 : 1) : `${value}, changed`;
}

/** Resumes a run with some options changed, and all the same content. */
function resume(options: Options<"train"> | Options<"sft">, change: Record<string, unknown>) {
  const saved = JSON.parse(JSON.stringify(fingerprintOf(options, content)));
  checkFingerprint(saved, fingerprintOf({ ...options, ...change }, content));
}

for (const command of ["train", "sft"] as const) {
  for (const streaming of [false, true]) {
    Deno.test(`resume refuses every option of ${command} that may not change${streaming ? ", streamed" : ""}`, () => {
      const resolved = resolveOptions(command, {}).options;
      const options = { ...resolved, streaming } as Options<"train"> | Options<"sft">;
      for (const name of optionNames(command)) {
        const mark = specOf(name).resume;
        const again = () => resume(options, { [name]: other(name, Reflect.get(options, name)) });
        if (mark === undefined || streaming && mark === "content in memory") {
          assert.throws(again, /^UserError: Cannot resume: expected .* as in the checkpoint/, name);
        } else {
          assert.doesNotThrow(again, name);
        }
      }
    });
  }
}

Deno.test("where evaluations decide the rate, they may not change", () => {
  const { options } = resolveOptions("train");
  const change = (type: Options<"train">["lrSchedulerType"], name: string, value: unknown) => () =>
    resume({ ...options, lrSchedulerType: type }, { [name]: value });
  for (
    const [name, value] of Object.entries({
      evalStrategy: "epoch",
      evalSteps: 7,
      metricForBestModel: "kl",
      greaterIsBetter: true,
    })
  ) {
    assert.doesNotThrow(change("constant", name, value), name);
    assert.throws(change("reduce_lr_on_plateau", name, value), /as in the checkpoint/, name);
  }
});

Deno.test("an option that came after a checkpoint was the default then", () => {
  const { options } = resolveOptions("train");
  const { discopopTau: _, ...saved } = JSON.parse(JSON.stringify(fingerprintOf(options, content)));
  checkFingerprint(saved, fingerprintOf(options, content));
  assert.throws(
    () => checkFingerprint(saved, fingerprintOf({ ...options, discopopTau: 0.5 }, content)),
    /^UserError: Cannot resume: expected discopopTau 0.05 as in the checkpoint, found 0.5/,
  );
});

Deno.test("a model that another version reads differently is refused with what to do", () => {
  const { options } = resolveOptions("train");
  const print = (config: string) =>
    fingerprintOf(options, { ...content, model: { ...content.model, config } });
  assert.throws(
    () => checkFingerprint(print("a"), print("b")),
    /configuration a as in the checkpoint, .*, or train without --resume if an earlier version/,
  );
});

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

Deno.test("no option that decides a run's numbers is marked as one that may change", () => {
  // How long a run is may change where no rate depends on it; a kept trunk has the bits of one that is computed,
  // and so have layers that are computed again.
  const others = ["maxSteps", "cacheTrunk", "gradientCheckpointing"];
  for (const section of ["Filter", "Loss", "Optimizer", "What is trained"] as const) {
    for (const name of Object.keys(SECTIONS[section]) as OptionName[]) {
      if (!others.includes(name)) assert.equal(specOf(name).resume, undefined, name);
    }
  }
});

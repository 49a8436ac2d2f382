/** The losses `ipo` and `sigmoid_norm` are TRL's: per token, with rewards that are sums. */
import assert from "node:assert/strict";
import type { PairScore } from "../../src/dpo/evaluate.ts";
import { inTemporaryDirectory, jsonLines, runOk } from "./command.ts";
import { assertNear } from "./golden.ts";
import { inputFlags, readMetrics, writeInputs, writeModel } from "./inputs.ts";

const BETA = 0.2;
/** By the difference of the gains per token. */
const LOSSES: Record<string, (perToken: number) => number> = {
  ipo: (perToken) => (perToken - 1 / (2 * BETA)) ** 2,
  sigmoid_norm: (perToken) => Math.log1p(Math.exp(-BETA * perToken)),
};
const NEAR = { absolute: 1e-4, relative: 1e-4 };

/** As TRL's DPOTrainer computes them, from log-probabilities of completions. */
function trlMetrics(lossType: string, policy: PairScore[], reference: PairScore[]) {
  const gains = policy.map((pair, i) => ({
    chosen: pair.chosen.sum - reference[i].chosen.sum,
    rejected: pair.rejected.sum - reference[i].rejected.sum,
    perToken: (pair.chosen.mean - reference[i].chosen.mean) -
      (pair.rejected.mean - reference[i].rejected.mean),
  }));
  const mean = (of: (gain: typeof gains[number]) => number) =>
    gains.reduce((sum, gain) => sum + of(gain), 0) / gains.length;
  return {
    loss: mean(({ perToken }) => LOSSES[lossType](perToken)),
    "rewards/chosen": mean(({ chosen }) => BETA * chosen),
    "rewards/rejected": mean(({ rejected }) => BETA * rejected),
    "rewards/margins": mean(({ chosen, rejected }) => BETA * (chosen - rejected)),
    "rewards/accuracies": mean(({ chosen, rejected }) => chosen > rejected ? 1 : 0),
    signs: mean(({ chosen, rejected, perToken }) => chosen > rejected === perToken > 0 ? 1 : 0),
  };
}

Deno.test("losses per token: train and eval measure what TRL measures", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 12);
    const reference = await writeModel(`${directory}/reference`, {}, 5);
    const score = async (model: string) =>
      jsonLines<PairScore>(
        (await runOk("score", "--model", model, "--dataset", inputs.pairs)).stdout,
      );
    const [ours, theirs] = [await score(inputs.model), await score(reference)];
    for (const lossType of Object.keys(LOSSES)) {
      const { signs, ...expected } = trlMetrics(lossType, ours, theirs);
      assert.ok(signs < 1, "a pair whose reward and loss disagree in sign");

      const output = `${directory}/${lossType}`;
      const loss = ["--loss-type", lossType, "--beta", BETA, "--reference", reference];
      const batch = ["--batch-size", 12, "--output", output];
      const train = await runOk("train", ...inputFlags(inputs), ...loss, ...batch);
      const header = new RegExp(`^loss +${lossType}, .* mean over completion .*is per token`, "m");
      assert.match(train.stderr, header);
      const [, step] = await readMetrics(output);
      const words = ["--model", inputs.model, "--dataset", inputs.pairs, ...loss, "--json"];
      const evaluated = await runOk("eval", ...words);
      assert.match(evaluated.stderr, header);
      const evaluation = JSON.parse(evaluated.stdout);
      for (const [name, value] of Object.entries(expected)) {
        assertNear(step[name], value, NEAR, `${lossType}: ${name} in training`);
        assertNear(evaluation[`eval_${name}`], value, NEAR, `${lossType}: eval_${name}`);
      }
    }
  }));

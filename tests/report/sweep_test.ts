import assert from "node:assert/strict";
import { renderSweep, sweptMeasures } from "../../src/report/sweep.ts";

const run = (beta: string, measures: Record<string, number>, sets?: string[]) => ({
  name: `beta-${beta}`,
  values: { beta },
  measures,
  sets,
});

Deno.test("a sweep shows the measures of each held-out set, and those of a set without a name", () => {
  assert.deepEqual(
    sweptMeasures([run("0.1", { loss: 1, "rewards/margins": 2, tokens: 3 })]),
    ["loss", "rewards/margins"],
  );
  const named = [
    run("0.1", { math_loss: 1, chat_loss: 2, step: 1 }, ["math", "chat"]),
    run("0.5", { math_loss: 3, chat_loss: 4, step: 1 }, ["math", "chat"]),
  ];
  assert.deepEqual(sweptMeasures(named), ["math_loss", "chat_loss"]);
  const titles = Array.from(
    renderSweep("x", named).matchAll(/aria-label="([^"]*)"/g),
    ([, t]) => t,
  );
  assert.deepEqual(titles, ["Loss, math", "Loss, chat"]);
});

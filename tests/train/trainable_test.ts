import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { trainedLayerCount } from "../../src/train/trainable.ts";

Deno.test("trainedLayerCount counts from the last layer", () => {
  assert.equal(trainedLayerCount("all", 30), 30);
  assert.equal(trainedLayerCount("last-sixth", 30), 5);
  assert.equal(trainedLayerCount("last-sixth", 5), 1);
  assert.equal(trainedLayerCount("last-sixth", 1), 1);
  assert.equal(trainedLayerCount(0, 4), 0);
  assert.equal(trainedLayerCount(4, 4), 4);
  assert.throws(
    () => trainedLayerCount(5, 4),
    (error) =>
      error instanceof UserError && /at most 4, the model's layers, found 5/.test(error.message),
  );
});

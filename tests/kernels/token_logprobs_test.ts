import assert from "node:assert/strict";
import { readTensorU32, writeTensor } from "../../src/gpu/tensor.ts";
import {
  logprobWords,
  readTokenLogprobs,
  tokenLogprobs,
} from "../../src/kernels/token_logprobs.ts";
import { assertClose, forEachVariant, gpu, output, run, upload, values } from "./harness.ts";

Deno.test("token_logprobs equals the reference", () =>
  forEachVariant("sample", async () => {
    for (const [B, V, top] of [[1, 1, 1], [3, 7, 7], [2, 64, 5], [2, 65, 0], [4, 1031, 20]]) {
      const stride = V + 5;
      const STEPS = 3;
      const data = new Float32Array(B * stride).fill(NaN);
      const rows = Array.from({ length: B }, (_, b) => values(b, V, "f32", 8));
      for (const [b, row] of rows.entries()) {
        if (V > 9) row[9] = row[3]; // a tie
        data.set(row, b * stride);
      }
      const logits = output([B, stride]);
      writeTensor(gpu, logits, data);
      const chosen = Uint32Array.from({ length: B }, (_, b) => (7 * b + 3) % V);
      const words = logprobWords(top);
      const out = upload(new Uint32Array(B * STEPS * words).fill(77), [B, STEPS, words]);
      const options = { V, top, step: 1 };
      run((commands) => tokenLogprobs(commands, out, logits, upload(chosen, [B]), options));
      const found = await readTensorU32(gpu, out) as Uint32Array<ArrayBuffer>;
      for (const [b, row] of rows.entries()) {
        const at = (b * STEPS + 1) * words;
        const largest = Math.max(...row);
        const lse = largest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
        const result = readTokenLogprobs(found.slice(at, at + words), chosen[b]);
        const likeliest = [...row.keys()].sort((x, y) => row[y] - row[x] || x - y).slice(0, top);
        assert.deepEqual(result.top.map(({ id }) => id), likeliest, `V ${V}, row ${b}`);
        // Logits up to 8 in size, and a sum of V exponentials of them.
        assertClose(
          [result.logprob, ...result.top.map(({ logprob }) => logprob)],
          [chosen[b], ...likeliest].map((id) => row[id] - lse),
          { absolute: 4e-6, name: `V ${V}, row ${b}` },
        );
      }
      const untouched = found.filter((_, i) => Math.floor(i / words) % STEPS !== 1);
      assert.ok(untouched.every((word) => word === 77), "wrote another step's column");
    }
  }));

Deno.test("token_logprobs refuses what does not fit", () => {
  const logits = upload(values(1, 8), [1, 8]);
  const record = (V: number, top: number, step: number) => () =>
    run((commands) =>
      tokenLogprobs(
        commands,
        upload(new Uint32Array(logprobWords(top)), [1, 1, logprobWords(top)]),
        logits,
        upload(Uint32Array.of(0), [1]),
        { V, top, step },
      )
    );
  for (const wrong of [record(9, 1, 0), record(4, 5, 0), record(8, 1, 1)]) {
    assert.throws(wrong, /^RangeError: token_logprobs: expected top <= V <= stride/);
  }
});

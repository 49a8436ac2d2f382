import assert from "node:assert/strict";
import { readTensor, type Tensor } from "../../src/gpu/tensor.ts";
import {
  type MatrixPlace,
  muon,
  type MuonOptions,
  type MuonScratch,
  muonScratch,
} from "../../src/kernels/muon.ts";
import * as reference from "../reference/muon.ts";
import { assertClose, forEachVariant, gpu, output, read, run, upload, values } from "./harness.ts";
import recorded from "./muon.json" with { type: "json" };
import { stateOf } from "./optimizer_state.ts";

const options: MuonOptions = {
  learningRate: 1e-2,
  weightDecay: 0.1,
  momentum: 0.95,
  adjustLrFn: "match_rms_adamw",
};

/** As large as it must be, full of NaN. */
function newScratch(matrices: MatrixPlace[]): MuonScratch {
  const entries = Object.entries(muonScratch(matrices));
  return Object.fromEntries(entries.map(([name, size]) => [name, output([size])])) as MuonScratch;
}

/** A tensor that is updated. */
function updated(data: Float32Array): Tensor {
  const tensor = output([data.length]);
  run((commands) => commands.copy(tensor, upload(data, [data.length])));
  return tensor;
}

/** The matrices one behind the other, with so many elements in front of each that are not theirs. */
function placesOf(shapes: (readonly [number, number])[], gap: number): MatrixPlace[] {
  let first = 0;
  return shapes.map(([rows, columns]) => {
    first += gap;
    const place = { first, rows, columns };
    first += rows * columns;
    return place;
  });
}

Deno.test("the reference has the numbers of torch.optim.Muon in float64", () => {
  for (const { before, gradients, after, ...given } of recorded.cases) {
    const shape = [before.length, before[0].length] as const;
    const w = Float64Array.from(before.flat());
    const m = new Float64Array(w.length);
    for (const [step, gradient] of gradients.entries()) {
      reference.muon(w, m, gradient.flat(), shape, {
        learningRate: given.lr,
        weightDecay: given.weight_decay,
        momentum: given.momentum,
        adjustLrFn: given.adjust_lr_fn as MuonOptions["adjustLrFn"],
      });
      assertClose(w, after[step].flat(), { absolute: 1e-12, name: `(${shape}), step ${step + 1}` });
    }
  }
});

// Rows, columns and squares of one element and more, primes, at and just over tiles of 32 and 64, tall and wide.
const SHAPES = [
  ...[[1, 1], [1, 5], [7, 1], [13, 7], [7, 13], [6, 6]] as const,
  ...[[33, 37], [64, 16], [67, 130], [192, 66]] as const,
];

for (const [adjustLrFn, gap] of [["match_rms_adamw", 3], ["original", 0]] as const) {
  Deno.test(`muon equals the reference over four steps, ${adjustLrFn}, ${gap} elements between matrices`, async () => {
    const given = { ...options, adjustLrFn };
    const matrices = placesOf(SHAPES, gap);
    const last = matrices.at(-1)!;
    const length = last.first + last.rows * last.columns;
    const start = values(1, length);
    const gradients = [11, 12, 13, 14].map((seed) => values(seed, length));
    const [expected, em] = [Float64Array.from(start), new Float64Array(length)];
    for (const gradient of gradients) {
      for (const { first, rows, columns } of matrices) {
        const own = [first, first + rows * columns] as const;
        const [w, m] = [expected, em].map((whole) => whole.subarray(...own));
        reference.muon(w, m, gradient.subarray(...own), [rows, columns], given);
      }
    }
    const doubled = gradients.map((data) => upload(data.map((value) => 2 * value), [length]));
    const state = stateOf(0.5);
    await forEachVariant("product", async () => {
      const [weight, m] = [updated(start), updated(new Float32Array(length))];
      const scratch = newScratch(matrices);
      for (const gradient of doubled) {
        run((commands) => muon(commands, { weight, m, gradient, state }, matrices, scratch, given));
      }
      // Four steps of at most 1e-2 * 0.2 * sqrt(192) along a direction that is known to 1e-5.
      assertClose(await read(weight), expected, { absolute: 2e-6, name: "weight" });
      assertClose(await read(m), em, { absolute: 1e-6, name: "m" });
      for (const tensor of Object.values(scratch)) await read(tensor); // its guards
    });
  });
}

Deno.test("gradients of any size give a direction of one size, and none gives none", async () => {
  const [rows, columns] = [5, 9];
  const matrices = [{ first: 0, rows, columns }];
  const gradient = values(3, rows * columns);
  const given = { ...options, weightDecay: 0, learningRate: 1 };
  // A norm far below the epsilon of 1e-7 is not taken to one.
  for (const size of [0, 1e-30, 1e-12, 1e-8, 1e-4, 1, 1e4, 1e8]) {
    const data = gradient.map((value) => size * value);
    const [weight, m] = [1, 2].map(() => updated(new Float32Array(data.length)));
    const tensors = { weight, m, gradient: upload(data, [data.length]), state: stateOf(1) };
    run((commands) => muon(commands, tensors, matrices, newScratch(matrices), given));
    const expected = new Float64Array(data.length);
    reference.muon(expected, new Float64Array(data.length), data, [rows, columns], given);
    const largest = Math.max(...expected.map(Math.abs));
    assert.equal(largest > 0.1, size >= 1e-8, `${size}: ${largest}`);
    assertClose(await read(weight), expected, { absolute: 1e-5, name: `${size}` });
  }
});

Deno.test("a skipped step of Muon changes no tensor", async () => {
  const before = values(2, 60);
  const [weight, m, gradient] = [1, 2, 3].map(() => upload(before, [60]));
  const matrices = placesOf([[4, 6], [6, 6]], 0);
  const tensors = { weight, m, gradient, state: stateOf(0) };
  run((commands) => muon(commands, tensors, matrices, newScratch(matrices), options));
  for (const kept of [weight, m]) assert.deepEqual(await readTensor(gpu, kept), before);
});

Deno.test("a matrix that ends behind the weights is refused", () => {
  const [weight, m, gradient] = [1, 2, 3].map(() => upload(new Float32Array(60), [60]));
  const matrices = placesOf([[6, 6], [5, 5]], 0);
  const tensors = { weight, m, gradient, state: stateOf(1) };
  assert.throws(
    () => run((commands) => muon(commands, tensors, matrices, newScratch(matrices), options)),
    /muon: expected a matrix within 60 weights, found one to 61/,
  );
});

import type { MuonOptions } from "../../src/kernels/muon.ts";

type Rows = number[][];

const product = (a: Rows, b: Rows): Rows =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
const transpose = (a: Rows): Rows => a[0].map((_, j) => a.map((row) => row[j]));
const combine = (a: number, x: Rows, b: number, y: Rows): Rows =>
  x.map((row, i) => row.map((value, j) => a * value + b * y[i][j]));

/** Five Newton-Schulz steps in the order of torch.optim.Muon: a x + (b A + c A^2) x, where A = x x^T. */
function orthogonalized(matrix: Rows): Rows {
  const turned = matrix.length > matrix[0].length;
  let x = turned ? transpose(matrix) : matrix;
  const norm = Math.max(Math.hypot(...x.flat()), 1e-7);
  x = x.map((row) => row.map((value) => value / norm));
  for (let step = 0; step < 5; step++) {
    const gram = product(x, transpose(x));
    const polynomial = combine(-4.775, gram, 2.0315, product(gram, gram));
    x = combine(3.4445, x, 1, product(polynomial, x));
  }
  return turned ? transpose(x) : x;
}

/** Muon in double precision over one matrix (rows, columns). Updates w and m. */
export function muon(
  w: Float64Array,
  m: Float64Array,
  gradient: ArrayLike<number>,
  [rows, columns]: readonly [number, number],
  { learningRate, weightDecay, momentum, adjustLrFn }: MuonOptions,
): void {
  const direction = Array.from(
    { length: rows },
    (_, r) =>
      Array.from({ length: columns }, (_, c) => {
        const i = r * columns + c;
        m[i] = momentum * m[i] + (1 - momentum) * gradient[i];
        return (1 - momentum) * gradient[i] + momentum * m[i];
      }),
  );
  const ratio = adjustLrFn === "original"
    ? Math.sqrt(Math.max(1, rows / columns))
    : 0.2 * Math.sqrt(Math.max(rows, columns));
  for (const [i, value] of orthogonalized(direction).flat().entries()) {
    w[i] = w[i] * (1 - learningRate * weightDecay) - learningRate * ratio * value;
  }
}

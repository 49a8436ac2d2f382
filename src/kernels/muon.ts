// This module is browser compatible.
import directionCode from "../../shaders/muon_direction.wgsl" with { type: "text" };
import normCode from "../../shaders/muon_norm.wgsl" with { type: "text" };
import polynomialCode from "../../shaders/muon_polynomial.wgsl" with { type: "text" };
import updateCode from "../../shaders/muon_update.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor, view } from "../gpu/tensor.ts";
import { matmulBackwardInput, matmulForward, paddedColumns } from "./matmul.ts";
import { expectShape, grid } from "./shapes.ts";
import { STATE_FIELDS } from "./state.ts";
import type { UpdateOptions } from "./update.ts";

const place = { R: "u32", C: "u32", stride: "u32", first: "u32" } as const;

const directionKernel: Kernel = {
  name: "muon_direction",
  code: directionCode,
  params: { ...place, momentum: "f32" },
  reads: ["gradient", "state"],
  writes: ["m", "x"],
  structs: { State: STATE_FIELDS },
};
const normKernel: Kernel = {
  name: "muon_norm",
  code: normCode,
  params: { N: "u32", stride: "u32" },
  reads: ["gram"],
  writes: ["scale"],
  reduces: "f32",
};
const polynomialKernel: Kernel = {
  name: "muon_polynomial",
  code: polynomialCode,
  params: { N: "u32", stride4: "u32", begins: "u32" },
  reads: ["gram", "scale"],
  writes: ["square"],
};
const updateKernel: Kernel = {
  name: "muon_update",
  code: updateCode,
  params: { ...place, lr: "f32", weight_decay: "f32", step: "f32" },
  reads: ["x", "state"],
  writes: ["weight"],
  structs: { State: STATE_FIELDS },
};

const THREADS = 256;
/** Newton-Schulz steps: as many as Jordan et al. and PyTorch take. */
const STEPS = 5;

/** A matrix among the weights of an arena. */
export interface MatrixPlace {
  /** Its first element. */
  first: number;
  rows: number;
  columns: number;
}

export interface MuonOptions extends Omit<UpdateOptions, "decaying"> {
  /** Decay of the mean of gradients. */
  momentum: number;
  /**
   * What the learning rate is multiplied by, for a matrix of R rows and C columns: 0.2 sqrt(max(R, C)), with which weights
   * move as far as AdamW moves them (Liu et al. 2025, arXiv:2502.16982), or sqrt(max(1, R / C)) (Jordan et al. 2024).
   */
  adjustLrFn: "match_rms_adamw" | "original";
}

/** What the updates of matrices need meanwhile, one after the other. */
export type MuonScratch = Record<"x" | "y" | "gram" | "square" | "scale", Tensor>;

/** Elements of each tensor of {@link MuonScratch}, all f32, for matrices of these shapes. */
export function muonScratch(
  matrices: readonly Pick<MatrixPlace, "rows" | "columns">[],
): Record<keyof MuonScratch, number> {
  const sizes = matrices.map(sidesOf);
  const direction = Math.max(0, ...sizes.map(({ N, stride }) => N * stride));
  const product = Math.max(0, ...sizes.map(({ N }) => N * paddedColumns(N)));
  return { x: direction, y: direction, gram: product, square: product, scale: 1 };
}

function sidesOf({ rows, columns }: Pick<MatrixPlace, "rows" | "columns">) {
  return { N: Math.min(rows, columns), stride: paddedColumns(Math.max(rows, columns)) };
}

/**
 * One Muon update (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; as `torch.optim.Muon` with Nesterov's
 * momentum) of matrices in an arena, with what `gradNorm` left in `state`: the mean gradient of a matrix, made nearly
 * orthogonal by {@link STEPS} Newton-Schulz steps. These are f32, where PyTorch takes bfloat16.
 *
 * @param tensors `weight` and the mean gradient `m` of its matrices are updated, both f32 of any shape.
 * @param scratch At least as large as {@link muonScratch} says; its content is lost.
 * @throws {RangeError} If the shapes disagree, or a matrix ends behind the weights.
 */
export function muon(
  commands: Commands,
  tensors: Record<"weight" | "m" | "gradient" | "state", Tensor>,
  matrices: readonly MatrixPlace[],
  scratch: MuonScratch,
  options: MuonOptions,
): void {
  const { shape } = tensors.weight;
  for (const name of ["m", "gradient"] as const) {
    expectShape("muon", name, tensors[name], [...shape]);
  }
  const length = elementCount(shape);
  for (const matrix of matrices) {
    const end = matrix.first + matrix.rows * matrix.columns;
    if (end > length) {
      throw new RangeError(`muon: expected a matrix within ${length} weights, found one to ${end}`);
    }
    updateMatrix(commands, tensors, matrix, scratch, options);
  }
}

function updateMatrix(
  commands: Commands,
  { weight, m, gradient, state }: Record<"weight" | "m" | "gradient" | "state", Tensor>,
  matrix: MatrixPlace,
  scratch: MuonScratch,
  { learningRate, weightDecay, momentum, adjustLrFn }: MuonOptions,
): void {
  const { first, rows, columns } = matrix;
  const { N, stride } = sidesOf(matrix);
  const place = { R: rows, C: columns, stride, first };
  const direction = view(scratch.x, [N, stride]);
  commands.dispatch(directionKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: { ...place, momentum },
    tensors: [gradient, state, m, direction],
    workgroups: grid(Math.ceil(N * stride / THREADS)),
  });
  const x = orthogonalize(commands, direction, scratch);
  const ratio = adjustLrFn === "original"
    ? Math.sqrt(Math.max(1, rows / columns))
    : 0.2 * Math.sqrt(Math.max(rows, columns));
  commands.dispatch(updateKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: { ...place, lr: learningRate, weight_decay: weightDecay, step: learningRate * ratio },
    tensors: [x, state, weight],
    workgroups: grid(Math.ceil(rows * columns / THREADS)),
  });
}

/**
 * Takes the singular values of a matrix to about 1 (0.7 to 1.2), but for those that are tiny beside the largest.
 *
 * @param direction f32 (N, stride), N at most stride; columns of zeros change nothing. One of `scratch.x`.
 * @returns The result, of that shape, in `scratch`.
 */
function orthogonalize(commands: Commands, direction: Tensor, scratch: MuonScratch): Tensor {
  const [N, stride] = direction.shape;
  const width = paddedColumns(N);
  const [gram, square] = [scratch.gram, scratch.square].map((whole) => view(whole, [N, width]));
  let [x, y] = [direction, view(scratch.y, [N, stride])];
  for (let step = 0; step < STEPS; step++) {
    matmulForward(commands, gram, x, x);
    matmulForward(commands, square, gram, gram); // symmetric, so its own transpose
    if (step === 0) {
      commands.dispatch(normKernel, {
        variant: { overrides: { WORKGROUP: THREADS } },
        params: { N, stride: width },
        tensors: [gram, scratch.scale],
        workgroups: [1],
      });
    }
    commands.dispatch(polynomialKernel, {
      variant: { overrides: { WORKGROUP: THREADS } },
      params: { N, stride4: width / 4, begins: step === 0 ? 1 : 0 },
      tensors: [gram, scratch.scale, square],
      workgroups: grid(Math.ceil(N * width / 4 / THREADS)),
    });
    matmulBackwardInput(commands, y, square, x);
    [x, y] = [y, x];
  }
  return x;
}

// This module is browser compatible.
import type { BatchLimits } from "../data/divide.ts";
import { UserError } from "../errors.ts";
import { tuned } from "../kernels/tuning.ts";
import { type MemoryPlan, planInWords, planMemory, type Planned } from "./memory_plan.ts";

/** The largest micro-batch of a run under limits: its rows, and the tokens of each. */
export type LargestBatch<Row> = (
  limits: BatchLimits,
) => { rows: readonly Row[]; tokens: readonly number[] };

/** What the options say of memory. */
export interface MemoryOptions {
  /** MiB; null: no bound. */
  maxMemory: number | null;
  /** null: where the bound demands it. */
  gradientCheckpointing: boolean | null;
}

/** Search for a number of tokens ends when it is known to this many, the rows of an attention tile. */
const TOKENS_KNOWN_TO = 64;

/**
 * Plans the memory of a run, and where it would take more than the options allow, sets how steps are computed so that it does
 * not: batches are divided as long as they stay large; then layers are computed again, and batches divided as far as it takes.
 *
 * @param training Whose `limits` and `runtime.recomputes` are set.
 * @param evaluation See {@link planMemory}.
 * @throws {UserError} If it takes more memory in any case; the message says how much.
 */
export async function fitMemory<Row, T extends Planned<Row>>(
  training: { counted(rows: readonly Row[]): T } & Planned<Row>,
  largest: LargestBatch<Row>,
  { maxMemory, gradientCheckpointing }: MemoryOptions,
  evaluation: (counted: T) => Promise<unknown>,
): Promise<MemoryPlan> {
  const { limits, model: { gpu, runtime } } = training;
  const mostBytes = maxMemory === null ? Infinity : maxMemory * 2 ** 20;
  const plan = () => planMemory(training, largest(limits).rows, evaluation);
  const tokensWithin = (limits: BatchLimits) =>
    largest(limits).tokens.reduce((sum, count) => sum + count, 0);
  const stepFits = async (tokens: number) => {
    limits.tokens = tokens;
    return (await planMemory(training, largest(limits).rows)).total <= mostBytes;
  };
  const asked = limits.tokens;
  /** Sets the most tokens that fit, unless fewer than `least` would. */
  const divide = async (least: number) => {
    if (await stepFits(asked)) return true;
    let [fitting, tooMany] = [Math.min(least, asked), tokensWithin({ ...limits, tokens: asked })];
    if (!training.divides || !await stepFits(fitting)) return false;
    while (tooMany - fitting > TOKENS_KNOWN_TO) {
      const between = Math.floor((fitting + tooMany) / 2);
      if (await stepFits(between)) fitting = between;
      else tooMany = between;
    }
    limits.tokens = fitting;
    return true;
  };

  const asAsked = await plan();
  if (asAsked.total <= mostBytes) return asAsked;
  const longestRow = tokensWithin({ rows: 1, tokens: Infinity });
  if (!await divide(Math.max(longestRow, tuned(gpu, "scoredTokens")))) {
    runtime.recomputes = gradientCheckpointing ?? true;
    await divide(longestRow);
  }
  const found = await plan();
  if (found.total <= mostBytes) return found;
  throw new UserError(
    `Expected --max-memory of at least ${
      Math.ceil(found.total / 2 ** 20)
    } MiB, found ${maxMemory}: this run takes ${
      planInWords(found)
    }; lower --max-length, or train fewer weights, as --lora-r does`,
  );
}

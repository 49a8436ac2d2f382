// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import { Commands } from "../gpu/commands.ts";
import type { Readback } from "../gpu/readback.ts";
import { type Tensor, writeTensor } from "../gpu/tensor.ts";
import type { GpuBatch } from "../model/batch.ts";
import { followWeights } from "../model/follow.ts";
import { topForward, trunkForward } from "../model/forward.ts";
import { headForward } from "../model/head.ts";
import { type Model, scoreTensor } from "../model/model.ts";
import type { Weights } from "../model/weights.ts";
import { expectFinite } from "./finite.ts";

type Scores = WeakMap<PreferencePair, Float32Array>;

/** Numbers kept per pair: score, completion sum, total sum and 0 of chosen, then of rejected. */
export const NUMBERS_PER_PAIR = 8;

/**
 * The reference model's scores of pairs. Each pair is scored once, at its first visit, and then looked up; where the reference
 * follows the policy, it is scored anew after that. A reference that is the policy as it was shares the policy's frozen trunk,
 * and only its own top is computed.
 */
export class Reference {
  // Weak, since pairs of a stream come and go.
  #scores: Scores = new WeakMap();

  /**
   * @param model The reference; one that is the policy as it was shares the policy's scratch memory and frozen weights.
   * @param sharesTrunk Whether everything below `model.begin` is the policy's own.
   * @param earlier The same reference, whose scores it knows too; it must not change.
   */
  constructor(readonly model: Model, readonly sharesTrunk: boolean, readonly earlier?: Reference) {}

  /** Whether all of the pairs have been scored. */
  knows(pairs: readonly PreferencePair[]): boolean {
    return pairs.every((pair) => this.#scores.has(pair) || this.earlier?.knows([pair]));
  }

  /** The scores of a pair that {@link knows} holds for: 4 numbers each of chosen and rejected. */
  of(pair: PreferencePair): Float32Array {
    return this.#scores.get(pair) ?? this.earlier!.of(pair);
  }

  /**
   * Remembers scores computed elsewhere, f32 (2P, 4), of the given pairs.
   *
   * @throws {UserError} If one is not finite; the message names the row.
   */
  remember(pairs: readonly PreferencePair[], scores: Float32Array): void {
    this.#remember(this.#scores, pairs, scores);
  }

  /** @param known What belongs to the weights that gave the scores. */
  #remember(known: Scores, pairs: readonly PreferencePair[], scores: Float32Array): void {
    expectFinite("the reference", this.model.weights.precision, pairs, scores);
    for (const [i, pair] of pairs.entries()) {
      const begin = i * NUMBERS_PER_PAIR;
      known.set(pair, scores.slice(begin, begin + NUMBERS_PER_PAIR));
    }
  }

  /** Moves the reference towards the policy; see {@link followWeights}. Pairs are scored anew from then on. */
  follow(policy: Weights, alpha: number): void {
    const commands = new Commands(this.model.gpu);
    followWeights(commands, this.model.weights, policy, alpha);
    commands.submit();
    this.forget();
  }

  /** Forgets all scores, as the weights are others now; scores on their way from the GPU are of the former ones. */
  forget(): void {
    this.#scores = new WeakMap();
  }

  /**
   * The scores of a batch, f32 (2P, 4), looked up or computed; computed ones are remembered at the readback's next fetch.
   *
   * @param trunk The policy's, used if shared.
   */
  scores(
    commands: Commands,
    pairs: readonly PreferencePair[],
    batch: GpuBatch,
    trunk: Tensor,
    readback: Readback,
  ): Tensor {
    const scores = scoreTensor(this.model, "reference scores", 2 * pairs.length);
    if (this.knows(pairs)) {
      const known = new Float32Array(pairs.length * NUMBERS_PER_PAIR);
      for (const [i, pair] of pairs.entries()) {
        known.set(this.of(pair), i * NUMBERS_PER_PAIR);
      }
      writeTensor(this.model.gpu, scores, known);
      return scores;
    }
    this.compute(commands, batch, scores, trunk);
    const known = this.#scores;
    readback.record(
      commands,
      scores,
      (data) => this.#remember(known, pairs, new Float32Array(data)),
    );
    return scores;
  }

  /** Records the reference's forward pass over a batch. */
  compute(commands: Commands, batch: GpuBatch, scores: Tensor, policyTrunk: Tensor): void {
    const { runtime, weights, begin } = this.model;
    const trunk = this.sharesTrunk
      ? policyTrunk
      : trunkForward(commands, runtime, weights, batch, begin, "reference trunk");
    const { y } = topForward(commands, runtime, weights, batch, trunk, begin, false);
    headForward(commands, runtime, weights, { ...batch, confidence: false }, scores, y);
  }
}

// This module is browser compatible.
/**
 * What a server needs of models on a GPU, wherever that GPU is: in this thread (local_serving.ts) or in a worker
 * (src/platform/serving/).
 *
 * @module
 */
import type { PreferencePair } from "../data/pairs.ts";
import type { PairScore } from "../dpo/evaluate.ts";
import type { BatcherLoad, Completion, GenerationRequest } from "../generate/batcher.ts";
import type { TokenLogprobs } from "../kernels/token_logprobs.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";

/** A model that can be asked by name. */
export interface ServedModel {
  name: string;
  /** The model that it was trained from here; its own name where it was not. */
  root: string;
  /** When it was loaded, in seconds since 1970. */
  created: number;
  /** Tokens that prompt and completion may have together. */
  positions: number;
  vocabSize: number;
}

/** Between text and a model's token ids. */
export interface TextCodec {
  /** null: token ids only. */
  tokenizer: TextTokenizer | null;
  stopIds: readonly number[];
}

/** What is going on, for metrics and for deciding whether to take more. */
export interface ServingLoad extends BatcherLoad {
  /** Bytes of the GPU that are in use. */
  gpuBytes: number;
}

export interface Serving {
  readonly models: readonly ServedModel[];
  /** Sequences that a model works on at the same time; more wait. */
  readonly slots: number;
  /** Why no model answers at present, in words: the device failed; null: they answer. */
  readonly outage: string | null;
  /**
   * Continues a prompt.
   *
   * @throws {UserError} As Batcher.add.
   * @throws {UnavailableError} If the device failed, as all methods.
   */
  generate(model: string, request: GenerationRequest): Promise<Completion>;
  /** As promptLogprobs. */
  promptLogprobs(model: string, prompt: readonly number[], top: number): Promise<TokenLogprobs[]>;
  /** Log-probabilities of pairs, in order. */
  score(model: string, pairs: readonly PreferencePair[]): Promise<PairScore[]>;
  load(): Promise<ServingLoad>;
  /** Rejects what is in work and frees the GPU. */
  close(): void;
}

/** Who can serve more models than those that it began with. */
export interface ModelHost extends Serving {
  /**
   * Loads a model.
   *
   * @param path As `openStoredModel` takes it.
   * @throws {UserError} As loadModel.
   */
  addModel(model: { name: string; path: string; root: string }): Promise<ServedModel>;
  /** Takes a model from those that are served, and frees its memory when its work is done. */
  removeModel(name: string): Promise<void>;
}

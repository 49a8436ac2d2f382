/** What requests may hold: fields of the OpenAI API, and of others that have more (vLLM's names). Both bounds on every number. */
import { z } from "zod"; // one schema checks, types and documents

/** Absent and null are the same, as in the OpenAI API. */
const optional = <T extends z.ZodType>(type: T) => type.nullish();

export const MOST_NEW_TOKENS = 1 << 20; // the model's own positions bound it further
const MOST_SEQUENCES = 128;
const MOST_BIASES = 1024;

const tokenId = z.int().min(0).max(2 ** 32 - 1);

/** How tokens are drawn. */
const sampling = {
  model: optional(z.string().max(512)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().gt(0).max(1)),
  top_k: optional(z.int().min(-1).max(2 ** 31)),
  min_p: optional(z.number().min(0).max(1)),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  repetition_penalty: optional(z.number().gt(0).max(100)),
  logit_bias: optional(
    z.record(z.string().regex(/^\d{1,10}$/), z.number().min(-100).max(100))
      .refine((bias) => Object.keys(bias).length <= MOST_BIASES, `at most ${MOST_BIASES} tokens`),
  ),
  seed: optional(z.int()),
  n: optional(z.int().min(1).max(MOST_SEQUENCES)),
  max_tokens: optional(z.int().min(0).max(MOST_NEW_TOKENS)),
  stop: optional(
    z.union([z.string().min(1).max(256), z.array(z.string().min(1).max(256)).max(16)]),
  ),
  stop_token_ids: optional(z.array(tokenId).max(64)),
  ignore_eos: optional(z.boolean()),
  stream: optional(z.boolean()),
  stream_options: optional(
    z.strictObject({
      include_usage: optional(z.boolean()),
      include_obfuscation: optional(z.boolean()),
    }),
  ),
};

/** Fields that say nothing about the answer: taken, and left alone. */
const ignored = {
  user: optional(z.string()),
  metadata: optional(z.record(z.string(), z.string())),
  store: optional(z.boolean()),
  service_tier: optional(z.string()),
  safety_identifier: optional(z.string()),
  prompt_cache_key: optional(z.string()),
};

export const CompletionRequest = z.strictObject({
  ...sampling,
  ...ignored,
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1).max(MOST_SEQUENCES),
    z.array(tokenId).min(1),
    z.array(z.array(tokenId).min(1)).min(1).max(MOST_SEQUENCES),
  ]),
  echo: optional(z.boolean()),
  logprobs: optional(z.int().min(0).max(5)),
  best_of: optional(z.int().min(1).max(1)),
  suffix: optional(z.literal("")),
}).meta({ id: "CompletionRequest" });
export type CompletionRequest = z.infer<typeof CompletionRequest>;

const ChatMessage = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([
    z.string(),
    z.array(z.strictObject({ type: z.literal("text"), text: z.string() })),
  ]),
  name: optional(z.string()),
  refusal: optional(z.string()),
}).meta({ id: "ChatMessage" });

export const ChatRequest = z.strictObject({
  ...sampling,
  ...ignored,
  messages: z.array(ChatMessage).min(1).max(1024),
  max_completion_tokens: sampling.max_tokens,
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  response_format: optional(z.strictObject({ type: z.literal("text") })),
  modalities: optional(z.array(z.literal("text"))),
  tools: optional(z.array(z.never())),
  tool_choice: optional(z.literal("none")),
  add_generation_prompt: optional(z.boolean()),
}).meta({ id: "ChatRequest" });
export type ChatRequest = z.infer<typeof ChatRequest>;
export type SamplingFields = Pick<CompletionRequest, keyof typeof sampling>;

const messages = z.array(ChatMessage).min(1);

export const ScoreRequest = z.strictObject({
  model: sampling.model,
  reference: optional(z.string().max(512)),
  beta: optional(z.number().gt(0).max(1e6)),
  pairs: z.array(z.strictObject({
    prompt: optional(z.union([z.string(), messages])),
    chosen: optional(z.union([z.string(), messages])),
    rejected: optional(z.union([z.string(), messages])),
    prompt_ids: optional(z.array(tokenId)),
    chosen_ids: optional(z.array(tokenId)),
    rejected_ids: optional(z.array(tokenId)),
  })).min(1).max(MOST_SEQUENCES),
}).meta({ id: "ScoreRequest" });
export type ScoreRequest = z.infer<typeof ScoreRequest>;

export const TokenizeRequest = z.strictObject({
  model: sampling.model,
  prompt: optional(z.string()),
  messages: optional(messages),
  add_generation_prompt: optional(z.boolean()),
}).refine((request) => !request.prompt !== !request.messages, "either prompt or messages")
  .meta({ id: "TokenizeRequest" });

export const DetokenizeRequest = z.strictObject({
  model: sampling.model,
  tokens: z.array(tokenId).max(1 << 16),
}).meta({ id: "DetokenizeRequest" });

const turns = z.array(
  z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() }),
).min(1).max(1024);

const preference = z.strictObject({ prompt: turns, chosen: turns, rejected: turns })
  .refine(
    ({ chosen, rejected }) => JSON.stringify(chosen) !== JSON.stringify(rejected),
    "expected two answers that differ",
  );

export const PreferencesToAdd = z.strictObject({
  model: sampling.model,
  pairs: z.array(preference).min(1).max(10_000),
}).meta({ id: "PreferencesToAdd" });

export const PreferenceReplacement = preference.meta({ id: "PreferenceReplacement" });

/** A query's numbers are texts. */
export const PreferenceList = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  before: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
});

/** @returns The text of a message, whose content may come in parts. */
export function textOf({ content }: z.infer<typeof ChatMessage>): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("");
}

/** @returns Messages as chat templates know them. */
export function templateMessages(messages: readonly z.infer<typeof ChatMessage>[]) {
  return messages.map((message) => ({
    role: message.role === "developer" ? "system" : message.role,
    content: textOf(message),
  }));
}

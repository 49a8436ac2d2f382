/** What requests may hold: fields of the OpenAI API, and of others that have more (vLLM's names). Both bounds on every number. */
import { z } from "zod"; // one schema checks, types and documents
import type { Message } from "../src/text/chat.ts";

/** Absent and null are the same, as in the OpenAI API: validate.ts takes nulls out, of fields that no schema has too. */
const optional = <T extends z.ZodType>(type: T) => type.nullish();

export const MOST_NEW_TOKENS = 1 << 20; // the model's own positions bound it further
const MOST_SEQUENCES = 128;
const MOST_BIASES = 1024;
const MOST_STOPS = 128;

const stopText = z.string().min(1).max(256);

const tokenId = z.int().min(0).max(2 ** 32 - 1);

/** How tokens are drawn. */
const sampling = {
  model: optional(z.string().max(512)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
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
  stop: optional(z.union([
    stopText,
    z.array(stopText).max(MOST_STOPS, `expected at most ${MOST_STOPS} stop strings`),
  ])),
  stop_token_ids: optional(z.array(tokenId).max(64)),
  ignore_eos: optional(z.boolean()),
  skip_special_tokens: optional(z.boolean()),
  stream: optional(z.boolean()),
  stream_options: optional(
    z.looseObject({
      include_usage: optional(z.boolean()),
      continuous_usage_stats: optional(z.boolean()),
    }),
  ),
};

/** Fields that do not bear on the answer of any model here: accepted, whatever they say. */
const ignored = Object.fromEntries(
  [
    ...["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"],
    ...["prompt_cache_retention", "parallel_tool_calls", "reasoning_effort", "verbosity"],
    ...["prediction", "cache_prompt", "priority", "request_id"], // of OpenAI, llama.cpp, vLLM
  ].map((name) => [name, z.unknown().optional()]),
);

/** Fields of other servers whose feature is missing here: accepted with the value that turns it off. */
const turnedOff = {
  min_tokens: optional(z.literal(0)),
  length_penalty: optional(z.literal(1)),
  typical_p: optional(z.literal(1)),
  mirostat: optional(z.literal(0)),
  use_beam_search: optional(z.literal(false)),
  include_stop_str_in_output: optional(z.literal(false)),
  return_token_ids: optional(z.literal(false)),
};

export const CompletionRequest = z.strictObject({
  ...sampling,
  ...ignored,
  ...turnedOff,
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1).max(MOST_SEQUENCES),
    z.array(tokenId).min(1),
    z.array(z.array(tokenId).min(1)).min(1).max(MOST_SEQUENCES),
  ]),
  echo: optional(z.boolean()),
  logprobs: optional(z.int().min(0).max(5)),
  best_of: optional(z.int().min(1).max(MOST_SEQUENCES)),
  suffix: optional(z.literal("")),
}).refine(
  ({ best_of, n }) => (best_of ?? 1) <= (n ?? 1),
  { path: ["best_of"], message: "expected at most n, as this server returns all that it draws" },
).meta({ id: "CompletionRequest" });
export type CompletionRequest = z.infer<typeof CompletionRequest>;

const NO_TOOLS = "calls in answers are not supported by this server";

const TextPart = z.looseObject({
  type: z.literal("text", {
    error: ({ input }) => `expected parts of text alone, found ${JSON.stringify(input)}`,
  }),
  text: z.string(),
});

const ToolCall = z.looseObject({
  function: z.looseObject({ name: z.string(), arguments: z.unknown() }),
});

/** Clients send back what servers of all kinds have put into a message. */
const ChatMessage = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: optional(z.union([z.string(), z.array(TextPart)])),
  tool_calls: optional(z.array(ToolCall)),
  tool_call_id: optional(z.string()),
  name: optional(z.string()),
  reasoning_content: optional(z.string()),
}).refine(
  ({ role, content }) => content != null || role === "assistant",
  { path: ["content"], message: "expected a text, found none" },
).meta({ id: "ChatMessage" });

export const ChatRequest = z.strictObject({
  ...sampling,
  ...ignored,
  ...turnedOff,
  messages: z.array(ChatMessage).min(1).max(1024),
  max_completion_tokens: sampling.max_tokens,
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  response_format: optional(z.looseObject({
    type: z.literal("text", {
      error: ({ input }) =>
        `answers that keep to a format are not supported by this server: expected "text", found ${
          JSON.stringify(input)
        }`,
    }),
  })),
  modalities: optional(z.array(z.literal("text"))),
  tools: optional(z.array(z.looseObject({}))),
  tool_choice: optional(z.enum(["none", "auto"], NO_TOOLS)),
  functions: optional(z.array(z.unknown()).max(0, NO_TOOLS)),
  function_call: optional(z.enum(["none", "auto"], NO_TOOLS)),
  add_generation_prompt: optional(z.boolean()),
  continue_final_message: optional(z.boolean()),
}).refine(
  ({ add_generation_prompt, continue_final_message }) =>
    !(add_generation_prompt && continue_final_message),
  {
    path: ["continue_final_message"],
    message: "expected one of add_generation_prompt and continue_final_message, found both",
  },
).refine(
  ({ tools, tool_choice }) => (tools ?? []).length === 0 || tool_choice === "none",
  { path: ["tools"], message: `${NO_TOOLS}: expected none, or tool_choice "none" with them` },
).meta({ id: "ChatRequest" });
export type ChatRequest = z.infer<typeof ChatRequest>;
export type SamplingFields = Pick<CompletionRequest, keyof typeof sampling>;

const messages = z.array(ChatMessage).min(1);

const textOrMessages = z.union([z.string(), messages]);

export const ScoreRequest = z.strictObject({
  model: sampling.model,
  reference: optional(z.string().max(512)),
  beta: optional(z.number().gt(0).max(1e6)),
  pairs: optional(
    z.array(z.strictObject({
      prompt: optional(textOrMessages),
      chosen: optional(textOrMessages),
      rejected: optional(textOrMessages),
      prompt_ids: optional(z.array(tokenId)),
      chosen_ids: optional(z.array(tokenId)),
      rejected_ids: optional(z.array(tokenId)),
    })).min(1).max(MOST_SEQUENCES).describe("Preference pairs, as texts, messages or token ids"),
  ),
  answers: optional(
    z.array(z.strictObject({
      prompt: optional(textOrMessages),
      completion: optional(textOrMessages),
      messages: optional(messages),
      input_ids: optional(z.array(tokenId)),
      prompt_length: optional(z.int().min(0)),
      label: z.boolean("expected true of a good answer, or false"),
    })).min(1).max(MOST_SEQUENCES).describe(
      "In the place of pairs: single answers with labels, as prompt and completion, messages, or token ids",
    ),
  ),
}).refine(
  ({ pairs, answers }) => !pairs || !answers,
  "expected one of pairs and answers, found both",
).refine(
  ({ pairs, answers }) => pairs || answers,
  "expected one of pairs and answers, found neither",
).meta({ id: "ScoreRequest" });
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
  return typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
}

/** @returns Messages as chat templates know them. */
export function templateMessages(messages: readonly z.infer<typeof ChatMessage>[]): Message[] {
  return messages.map((message) => {
    const { role, tool_calls: calls, tool_call_id, name, reasoning_content } = message;
    const others = { tool_call_id, name, reasoning_content };
    return {
      role: role === "developer" ? "system" : role,
      content: textOf(message),
      ...calls?.length ? { tool_calls: calls.map(templateCall) } : {},
      ...Object.fromEntries(Object.entries(others).filter(([, field]) => field)),
    };
  });
}

/** Clients give the arguments of a call as JSON in a string; templates write the object. */
function templateCall(call: z.infer<typeof ToolCall>) {
  const { arguments: given } = call.function;
  try {
    const parsed = typeof given === "string" ? JSON.parse(given) : given;
    return { ...call, function: { ...call.function, arguments: parsed } };
  } catch {
    return call;
  }
}

/** POST /v1/chat/completions: answers a conversation. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { encodeChat } from "../src/text/prompt.ts";
import { tokenBytes, tokenText } from "../src/text/token_bytes.ts";
import type { TextTokenizer } from "../src/text/tokenizer.ts";
import { type Api, modelOf, tokenizerOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import { eventStream } from "./event_stream.ts";
import { ChatRequest, templateMessages, textOf } from "./schemas.ts";
import {
  type Answer,
  answer,
  type AnswerToken,
  biasOf,
  checkPromptText,
  roomFor,
  seedOf,
  stopIdsOf,
  usageOf,
} from "./text_answer.ts";
import { json } from "./validate.ts";

export function chatRoutes(api: Api, log: (line: string) => void): Hono {
  return new Hono().post(
    "/v1/chat/completions",
    describeRoute({ summary: "Answer a conversation", tags: ["chat"] }),
    json(ChatRequest),
    async (context) => {
      const request = context.req.valid("json");
      if (request.top_logprobs != null && !request.logprobs) {
        throw new ApiError(400, "top_logprobs: expected logprobs to be true with it", {
          param: "top_logprobs",
        });
      }
      const asked = await modelOf(api, request.model);
      const tokenizer = tokenizerOf(asked);
      checkPromptText(request.messages.map(textOf).join(""));
      const prompt = encodeChat(tokenizer, templateMessages(request.messages), {
        addGenerationPrompt: request.add_generation_prompt ?? !request.continue_final_message,
        continueFinalMessage: request.continue_final_message ?? false,
        tools: request.tools?.length ? request.tools : undefined,
      });
      const [wish, param] = request.max_completion_tokens == null
        ? [request.max_tokens, request.max_tokens == null ? "messages" : "max_tokens"]
        : [request.max_completion_tokens, "max_completion_tokens"];
      const question = {
        asked,
        fields: request,
        prompt,
        seed: seedOf(request),
        bias: biasOf(asked, request),
        stopIds: stopIdsOf(asked, request),
        maxNewTokens: roomFor(asked, prompt, wish, { param }),
        topLogprobs: request.logprobs ? request.top_logprobs ?? 0 : null,
      };
      const sequences = Array.from({ length: request.n ?? 1 }, (_, sequence) => sequence);
      const leave = api.admission.enter(sequences.length);
      const head = (object: string) => ({
        id,
        object,
        created,
        model: asked.model.name,
      });
      const id = `chatcmpl-${crypto.randomUUID()}`;
      const created = Math.floor(Date.now() / 1000);
      const usage = (answers: Answer[]) => usageOf(prompt.length, answers);
      const logprobsOf = (tokens: readonly AnswerToken[]) =>
        question.topLogprobs === null ? null : chatLogprobs(tokenizer, tokens);

      if (request.stream) {
        return eventStream(context, async (emit, signal) => {
          const more = request.stream_options?.include_usage ? { usage: null } : {};
          const answers = await Promise.all(sequences.map(async (sequence) => {
            const tell = (delta: object, rest: object) => {
              const choice = {
                index: sequence,
                delta,
                logprobs: null,
                finish_reason: null,
                ...rest,
              };
              emit({ ...head("chat.completion.chunk"), choices: [choice], ...more });
            };
            tell({ role: "assistant", content: "" }, {});
            const whole = await answer(api, {
              ...question,
              sequence,
              signal,
              onPiece: ({ text, tokens }) =>
                tell({ content: text }, { logprobs: logprobsOf(tokens) }),
            });
            tell({}, { finish_reason: finishOf(whole) });
            return whole;
          }));
          if (request.stream_options?.include_usage) {
            emit({ ...head("chat.completion.chunk"), choices: [], usage: usage(answers) });
          }
        }, { onEnd: leave, log });
      }

      try {
        const { signal } = context.req.raw; // aborted if the client leaves
        const answers = await Promise.all(
          sequences.map((sequence) => answer(api, { ...question, sequence, signal })),
        );
        const choices = answers.map((whole, index) => ({
          index,
          message: { role: "assistant", content: whole.text, refusal: null },
          logprobs: logprobsOf(whole.tokens),
          finish_reason: finishOf(whole),
        }));
        return context.json({ ...head("chat.completion"), choices, usage: usage(answers) });
      } finally {
        leave();
      }
    },
  );
}

const finishOf = ({ finishReason }: Answer) => finishReason === "aborted" ? null : finishReason;

/** Of the tokens that the text is made of. */
function chatLogprobs(tokenizer: TextTokenizer, tokens: readonly AnswerToken[]) {
  const entry = ({ id, logprob }: { id: number; logprob: number }) => ({
    token: tokenText(tokenizer, id),
    bytes: [...tokenBytes(tokenizer, id)],
    logprob,
  });
  const content = tokens.filter(({ shown }) => shown).map(({ logprobs }) => ({
    ...entry(logprobs!),
    top_logprobs: logprobs!.top.map(entry),
  }));
  return { content, refusal: null };
}

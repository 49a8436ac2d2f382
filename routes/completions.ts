/**
 * POST /v1/completions: continues texts or token ids; with `echo` and `logprobs` it scores them, as lm-evaluation-harness asks. A
 * token that ends the text is among the listed ones, for that client takes the last for the one it had to ask for.
 */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { DrawnToken } from "../src/generate/decoder.ts";
import type { TokenLogprobs } from "../src/kernels/token_logprobs.ts";
import { encodeText } from "../src/text/prompt.ts";
import { tokenText } from "../src/text/token_bytes.ts";
import { TextStream } from "../src/text/text_stream.ts";
import type { TextTokenizer } from "../src/text/tokenizer.ts";
import type { PooledModel } from "../src/serve/model_pool.ts";
import { type Api, inTime, modelOf, tokenizerOf } from "./api.ts";
import { eventStream } from "./event_stream.ts";
import { CompletionRequest } from "./schemas.ts";
import {
  type Answer,
  answer,
  biasOf,
  checkPromptText,
  roomFor,
  seedOf,
  stopIdsOf,
  usageOf,
} from "./text_answer.ts";
import { json } from "./validate.ts";

/** OpenAI's default. */
const DEFAULT_NEW_TOKENS = 16;

export function completionRoutes(api: Api, log: (line: string) => void): Hono {
  return new Hono().post(
    "/v1/completions",
    describeRoute({ summary: "Continue a text", tags: ["completions"] }),
    json(CompletionRequest),
    async (context) => {
      const request = context.req.valid("json");
      const asked = await modelOf(api, request.model);
      const prompts = promptsOf(request, asked);
      const n = request.n ?? 1;
      const stopIds = stopIdsOf(asked, request);
      const questions = prompts.flatMap((prompt) => Array.from({ length: n }, () => prompt))
        .map((prompt, sequence) => ({
          asked,
          fields: request,
          prompt,
          sequence,
          stopIds,
          maxNewTokens: roomFor(asked, prompt, request.max_tokens, {
            fallback: DEFAULT_NEW_TOKENS,
            param: request.max_tokens == null ? "prompt" : "max_tokens",
          }),
          topLogprobs: request.logprobs ?? null,
        }));
      const seed = seedOf(request);
      const bias = biasOf(asked, request);
      const leave = api.admission.enter(questions.length);
      const head = {
        id: `cmpl-${crypto.randomUUID()}`,
        object: "text_completion",
        created: Math.floor(Date.now() / 1000),
        model: asked.model.name,
      };
      const usage = (answers: Answer[]) =>
        usageOf(prompts.reduce((sum, { length }) => sum + length, 0), answers);

      if (request.stream) {
        return eventStream(context, async (emit, signal) => {
          const more = request.stream_options?.include_usage ? { usage: null } : {};
          const answers = await Promise.all(questions.map(async (question, index) => {
            const choices = new ChoiceWriter(asked, request);
            const tell = (choice: object) =>
              emit({ ...head, choices: [{ index, ...choice }], ...more });
            if (request.echo) {
              tell({
                ...choices.echo(question.prompt, await scored(api, question)),
                finish_reason: null,
              });
            }
            const whole = await answer(api, {
              ...question,
              seed,
              bias,
              signal,
              onPiece: ({ text, tokens }) =>
                tell({ ...choices.piece(text, tokens), finish_reason: null }),
            });
            tell({ text: "", logprobs: null, finish_reason: finishOf(whole) });
            return whole;
          }));
          if (request.stream_options?.include_usage) {
            emit({ ...head, choices: [], usage: usage(answers) });
          }
        }, { onEnd: leave, log });
      }

      try {
        const { signal } = context.req.raw; // aborted if the client leaves
        const answers = await Promise.all(
          questions.map((question) => answer(api, { ...question, seed, bias, signal })),
        );
        const choices = await Promise.all(answers.map(async (whole, index) => {
          const writer = new ChoiceWriter(asked, request);
          const { prompt } = questions[index];
          const parts = [
            ...request.echo ? [writer.echo(prompt, await scored(api, questions[index]))] : [],
            writer.piece(whole.text, whole.tokens),
          ];
          const text = parts.map((part) => part.text).join("");
          const logprobs = joined(parts.map((part) => part.logprobs));
          return { index, text, logprobs, finish_reason: finishOf(whole) };
        }));
        return context.json({ ...head, choices, usage: usage(answers) });
      } finally {
        leave();
      }
    },
  );
}

const finishOf = ({ finishReason }: Answer) => finishReason === "aborted" ? null : finishReason;

/** The prompts in tokens: one or several, each a text or token ids. */
function promptsOf({ prompt }: CompletionRequest, asked: PooledModel): number[][] {
  const several = Array.isArray(prompt) && typeof prompt[0] !== "number";
  const prompts = (several ? prompt : [prompt]) as (string | number[])[];
  return prompts.map((one) =>
    typeof one === "string" ? encodeText(tokenizerOf(asked), checkPromptText(one)) : one
  );
}

/** How likely the prompt's tokens are, where that was asked for. */
function scored(
  api: Api,
  { asked, prompt, topLogprobs }: {
    asked: PooledModel;
    prompt: readonly number[];
    topLogprobs: number | null;
  },
): Promise<TokenLogprobs[] | null> {
  if (topLogprobs === null) return Promise.resolve(null);
  return inTime(api, api.serving.promptLogprobs(asked.model.name, prompt, topLogprobs));
}

/** OpenAI's four lists, of equal length. */
interface ListedLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

interface PlacedToken extends DrawnToken {
  /** Where its characters begin in the text. */
  begin: number;
}

/** Writes the parts of one choice, and keeps count of where they stand in its text. */
class ChoiceWriter {
  readonly #tokenizer: TextTokenizer;
  /** Characters of the prompt that the text begins with. */
  #echoed = 0;

  constructor(asked: PooledModel, readonly request: CompletionRequest) {
    this.#tokenizer = tokenizerOf(asked);
  }

  /** The prompt itself; nothing predicts its first token. */
  echo(prompt: readonly number[], known: TokenLogprobs[] | null) {
    const stream = new TextStream(this.#tokenizer);
    let begin = 0;
    const tokens = prompt.map((id, i) => {
      const token = { id, begin, logprobs: i === 0 ? undefined : known?.[i - 1] };
      begin += stream.push(id).length;
      return token;
    });
    const part = this.piece(this.#tokenizer.decode(prompt), tokens);
    this.#echoed = part.text.length;
    return part;
  }

  piece(text: string, tokens: readonly PlacedToken[]) {
    return { text, logprobs: this.request.logprobs == null ? null : this.#list(tokens) };
  }

  #list(tokens: readonly PlacedToken[]): ListedLogprobs {
    const name = (id: number) => tokenText(this.#tokenizer, id);
    const list: ListedLogprobs = {
      tokens: [],
      token_logprobs: [],
      top_logprobs: [],
      text_offset: [],
    };
    for (const { id, begin, logprobs } of tokens) {
      list.tokens.push(name(id));
      list.token_logprobs.push(logprobs?.logprob ?? null);
      list.top_logprobs.push(
        logprobs
          ? Object.fromEntries(logprobs.top.map(({ id, logprob }) => [name(id), logprob]))
          : null,
      );
      list.text_offset.push(this.#echoed + begin);
    }
    return list;
  }
}

function joined(parts: (ListedLogprobs | null)[]): ListedLogprobs | null {
  const lists = parts.filter((part) => part !== null);
  if (lists.length === 0) return null;
  return {
    tokens: lists.flatMap(({ tokens }) => tokens),
    token_logprobs: lists.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: lists.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: lists.flatMap(({ text_offset }) => text_offset),
  };
}

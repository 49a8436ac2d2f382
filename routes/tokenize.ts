/** POST /v1/tokenize and /v1/detokenize: what a model sees of a text, and the text that its tokens are. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { encodeChat, encodeText } from "../src/text/prompt.ts";
import { type Api, modelOf, tokenizerOf } from "./api.ts";
import { DetokenizeRequest, templateMessages, textOf, TokenizeRequest } from "./schemas.ts";
import { checkPromptText } from "./text_answer.ts";
import { json } from "./validate.ts";

export function tokenizeRoutes(api: Api): Hono {
  return new Hono()
    .post(
      "/v1/tokenize",
      describeRoute({ summary: "Tokens of a text or conversation", tags: ["tokens"] }),
      json(TokenizeRequest),
      async (context) => {
        const request = context.req.valid("json");
        const asked = await modelOf(api, request.model);
        const tokenizer = tokenizerOf(asked);
        const { prompt, messages } = request;
        checkPromptText(prompt ?? messages!.map(textOf).join(""));
        const tokens = messages
          ? encodeChat(tokenizer, templateMessages(messages), {
            addGenerationPrompt: request.add_generation_prompt ?? true,
          })
          : encodeText(tokenizer, prompt!);
        const { positions } = asked.model;
        return context.json({ tokens, count: tokens.length, max_model_len: positions });
      },
    )
    .post(
      "/v1/detokenize",
      describeRoute({ summary: "Text of tokens", tags: ["tokens"] }),
      json(DetokenizeRequest),
      async (context) => {
        const request = context.req.valid("json");
        const tokenizer = tokenizerOf(await modelOf(api, request.model));
        return context.json({ prompt: tokenizer.decode(request.tokens) });
      },
    );
}

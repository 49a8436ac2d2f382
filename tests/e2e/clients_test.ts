import assert from "node:assert/strict";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { ask, serve } from "./server.ts";

interface Answered {
  content: string;
  finish: string;
  tokens: number;
  streamed: string;
}

const lack = await lackOfPython("litellm", "langchain_openai");
Deno.test(unless(lack, "litellm and LangChain get what a plain request gets"), async () => {
  await using server = await serve();
  const whole = await (await ask(server.address, "/v1/chat/completions", {
    model: "policy",
    messages: [{ role: "user", content: "What should I feed a quazzit?" }],
    temperature: 0,
    max_tokens: 24,
  })).json();
  const [{ message: { content }, finish_reason: finish }] = whole.choices;
  const answered: Answered = {
    content,
    finish,
    tokens: whole.usage.total_tokens,
    streamed: content,
  };
  const peer = new URL("clients_peer.py", import.meta.url);
  assert.deepEqual(await askPython(peer, { address: server.address }), {
    litellm: { ...answered, text: true, too_long: "ContextWindowExceededError" },
    langchain: {
      ...answered,
      batch: [content, content],
      turns: true,
      stopped: content.slice(0, content.indexOf(content.split(" ")[2])),
    },
  });
});

/** What chat requests say of tools, as the model's template gets it. */
import assert from "node:assert/strict";
import { ChatRequest, templateMessages } from "../../routes/schemas.ts";
import { encodeChat } from "../../src/text/prompt.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";

const call = (args: unknown) => ({
  id: "call_1",
  type: "function",
  function: { name: "look_up", arguments: args },
});

const request = {
  messages: [
    { role: "developer", content: "Be kind." },
    { role: "user", content: "Weather?", name: null },
    { role: "assistant", content: null, tool_calls: [call('{"city": "Jarrel"}')], refusal: null },
    { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "sunny" }] },
    { role: "assistant", content: "Sunny.", reasoning_content: "It said so.", tool_calls: [] },
  ],
  tools: [{ type: "function", function: { name: "look_up" } }],
  tool_choice: "none",
};

Deno.test("calls of tools, their results and reasoning go to the template as it knows them", () => {
  const { messages } = ChatRequest.parse(request);
  assert.deepEqual(templateMessages(messages), [
    { role: "system", content: "Be kind." },
    { role: "user", content: "Weather?" },
    { role: "assistant", content: "", tool_calls: [call({ city: "Jarrel" })] },
    { role: "tool", content: "sunny", tool_call_id: "call_1" },
    { role: "assistant", content: "Sunny.", reasoning_content: "It said so." },
  ]);
  const odd = { role: "assistant" as const, tool_calls: [call("{")] };
  assert.deepEqual(templateMessages([odd])[0].tool_calls, [call("{")]);
});

Deno.test("a template that writes nothing of tools and calls is refused, one that does is used", async () => {
  const { messages, tools } = ChatRequest.parse(request);
  const turns = templateMessages(messages);
  const plain = await byteTokenizer();
  assert.throws(() => encodeChat(plain, turns), /a chat template that knows tools/);
  assert.throws(() => encodeChat(plain, turns.slice(0, 2), { tools: tools! }), /knows tools/);
  // Of reasoning a template may write nothing.
  assert.ok(encodeChat(plain, turns.slice(4)).length > 0);
  const template = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}" +
    "{{ m.role + ':' + m.content }}{% if m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% endif %};" +
    "{% endfor %}";
  const knowing = await byteTokenizer([], { chat_template: template });
  const text = knowing.decode(encodeChat(knowing, turns, { tools: tools! }));
  assert.match(
    text,
    /^\[\{"type": "function".*assistant:\{"name": "look_up", "arguments": \{"city"/,
  );
  assert.match(text, /tool:sunny;assistant:Sunny\.;$/);
});

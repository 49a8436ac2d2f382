/**
 * The AI SDK, unchanged, against a server. By hand, as it is not light, in a folder of its own (the server runs in another
 * terminal, by `deno task serve --served-model-name policy`):
 *
 *     cp tests/e2e/ai_sdk.mjs FOLDER && cd FOLDER
 *     npm install ai@6.0.326 @ai-sdk/openai-compatible@2.0.92
 *     node ai_sdk.mjs http://localhost:8080/v1
 */
import assert from "node:assert/strict";
import process from "node:process";

// Named at run time: they are no dependencies of this project, and its type check does not look for them.
const [sdk, compatible] = ["ai", "@ai-sdk/openai-compatible"];
const { generateText, streamText } = await import(sdk);
const { createOpenAICompatible } = await import(compatible);

const provider = createOpenAICompatible({
  name: "smoldpo",
  baseURL: process.argv[2] ?? "http://localhost:8080/v1",
  apiKey: process.env.SMOLDPO_API_KEY ?? "none",
  includeUsage: true,
});
const request = {
  model: provider("policy"),
  prompt: "What should I feed a quazzit?",
  temperature: 0,
  maxOutputTokens: 24,
  maxRetries: 0,
};

const whole = await generateText(request);
assert.ok(whole.text.length > 0);
assert.equal(whole.finishReason, "stop");
assert.ok(whole.usage.outputTokens > 0);

const streamed = streamText(request);
assert.equal(await streamed.text, whole.text);
assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);

const turns = [
  { role: "user", content: request.prompt },
  { role: "assistant", content: whole.text },
  { role: "user", content: "Why?" },
];
const { prompt: _, ...rest } = request;
const inTurns = await generateText({ ...rest, system: "You are friendly.", messages: turns });
assert.ok(inTurns.text.length > 0);

await assert.rejects(
  generateText({ ...request, prompt: request.prompt.repeat(2000) }),
  (error) => error.statusCode === 400 && /maximum context length/.test(error.message),
);
console.log(`${whole.text}\nall as expected`);

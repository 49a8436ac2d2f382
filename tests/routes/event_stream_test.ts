import assert from "node:assert/strict";
import { Hono } from "hono";
import { eventStream } from "../../routes/event_stream.ts";

/** The text of a stream, up to the first `end` in it. */
async function readTo(end: string, reader: ReadableStreamDefaultReader<string>): Promise<string> {
  let text = "";
  while (!text.includes(end)) {
    const { done, value } = await reader.read();
    assert.ok(!done, `the stream ended at ${JSON.stringify(text)}`);
    text += value;
  }
  return text;
}

Deno.test("a stream that has nothing to tell says that it lives, and stops with its end", async () => {
  const wait = Promise.withResolvers<void>();
  const app = new Hono().get("/", (context) =>
    eventStream(context, async (emit) => {
      emit({ told: 1 }, "first");
      await wait.promise;
      emit({ told: 2 });
    }, { onEnd: () => {}, log: assert.fail, pulseMs: 1 }));
  const { body } = await app.request("/");
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  const begun = await readTo(":\n\n:\n\n", reader);
  assert.ok(begun.startsWith('id: first\ndata: {"told":1}\n\n:\n\n'), begun);
  wait.resolve();
  const ended = await readTo("[DONE]\n\n", reader);
  assert.match(ended, /(^|\n)data: {"told":2}\n\ndata: \[DONE\]\n\n$/);
  assert.ok((await reader.read()).done);
});

Deno.test("a failure on the way is an event, and the pulse stops", async () => {
  const lines: string[] = [];
  const app = new Hono().get(
    "/",
    (context) =>
      eventStream(context, () => Promise.reject(new Error("a defect")), {
        onEnd: () => {},
        log: (line) => lines.push(line),
        pulseMs: 1,
      }),
  );
  const text = await (await app.request("/")).text();
  assert.match(text, /data: {"error":{[^\n]*}}\n\n$/);
  assert.doesNotMatch(text, /a defect|\[DONE\]/);
  assert.match(lines.join("\n"), /a defect/);
});

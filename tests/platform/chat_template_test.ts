import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { openTokenizer } from "../../src/platform/chat_template.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { byteTokenizerFiles, CHATML } from "../text/byte_tokenizer.ts";

const open = (chat_template: string) =>
  openTokenizer(new MemoryDirectory(byteTokenizerFiles([], { chat_template })));

Deno.test("chat template: an honest one is let through, also if it refuses some conversations", async () => {
  assert.equal((await open(CHATML))!.chatTemplate, CHATML);
  const picky =
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}x";
  assert.equal((await open(picky))!.chatTemplate, picky);
  assert.equal(await openTokenizer(new MemoryDirectory({})), null);
});

Deno.test("chat template: one that does not end is refused in time", async () => {
  const loop = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
  const startedMs = performance.now();
  await assert.rejects(open(loop), (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, /Cannot use the chat template of memory: .* within 2000 ms/);
    return true;
  });
  assert.ok(performance.now() - startedMs < 60_000);
  // Only long conversations make this one loop.
  await assert.rejects(open(`{% if messages | length > 9 %}${loop}{% endif %}`), UserError);
});

Deno.test("chat template: there is no way out of the sandbox", async () => {
  const attempts = [
    "{{ messages.constructor.constructor('return Deno')().exit(3) }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ self.constructor }}{{ namespace.constructor('return this')() }}",
    "{{ messages.__proto__.polluted }}{% set messages.__proto__.polluted = 1 %}",
  ];
  for (const template of attempts) {
    const tokenizer = await open(template);
    assert.equal(tokenizer!.chatTemplate, template);
    assert.equal(({} as { polluted?: number }).polluted, undefined);
  }
});

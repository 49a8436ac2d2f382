import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { renderChat } from "../../src/text/chat.ts";
import { CHATML } from "./byte_tokenizer.ts";

const tokenizer = { bosToken: "<s>", eosToken: "</s>", padToken: null };

Deno.test("chat: ChatML, with and without the opening of an answer", () => {
  const messages = [{ role: "user", content: "Hi" }, { role: "assistant", content: " Ho {{ x }}" }];
  const text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n Ho {{ x }}<|im_end|>\n";
  assert.equal(renderChat(CHATML, messages, { addGenerationPrompt: false, tokenizer }), text);
  assert.equal(
    renderChat(CHATML, messages, { addGenerationPrompt: true, tokenizer }),
    `${text}<|im_start|>assistant\n`,
  );
});

Deno.test("chat: special tokens by name; blocks leave no line behind", () => {
  const template =
    "{{ bos_token }}{% for m in messages %}\n  {% if m.role == 'user' %}\nQ: {{ m.content | trim }}\n  {% endif %}\n" +
    "{% endfor %}{{ eos_token }}{{ pad_token }}";
  const messages = [{ role: "user", content: " a " }, { role: "system", content: "b" }];
  assert.equal(
    renderChat(template, messages, { addGenerationPrompt: false, tokenizer }),
    "<s>Q: a\n</s>",
  );
});

Deno.test("chat: a template that is broken or objects is the user's to mend", () => {
  const render = (template: string) =>
    renderChat(template, [{ role: "user", content: "" }], {
      addGenerationPrompt: false,
      tokenizer,
    });
  assert.throws(() => render("{% for %}"), UserError);
  assert.throws(
    () => render("{{ raise_exception('roles must alternate') }}"),
    /conversation of user: roles must alternate/,
  );
});

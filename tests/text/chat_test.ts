import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { type Message, renderChat } from "../../src/text/chat.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { CHATML } from "./byte_tokenizer.ts";
import { CHAT_TEMPLATES, CONVERSATIONS, KNOWN_DIFFERENCES } from "./chat_templates.ts";

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

Deno.test("chat: tools and documents are null where there are none, as in transformers", () => {
  const template =
    "{% if tools is not none %}TOOLS{% endif %}{{ tools is defined }}{{ documents }}";
  const text = renderChat(template, [], { addGenerationPrompt: false, tokenizer });
  assert.equal(text, "TrueNone");
});

Deno.test("chat: a date is that of the time given, in English", () => {
  const now = new Date(2026, 0, 5, 15, 4, 9);
  const render = (format: string) =>
    renderChat(`{{ strftime_now('${format}') }}`, [], {
      addGenerationPrompt: false,
      tokenizer,
      now,
    });
  assert.equal(render("%d %b %Y"), "05 Jan 2026");
  assert.equal(
    render("%A, %B %-d, %I:%M:%S %p %y %a %H %m 100%%"),
    "Monday, January 5, 03:04:09 PM 26 Mon 15 01 100%",
  );
  assert.throws(() => render("%q"), /expected %Y, .* in a date, found %q/);
});

const lack = await lackOfPython("jinja2", "transformers");
Deno.test(
  unless(lack, "chat: templates of well-known formats give what transformers gives"),
  async (test) => {
    const shipped = (await loadTokenizer(await openDirectory("fixtures/model")))!.chatTemplate!;
    const templates = Object.entries({ ...CHAT_TEMPLATES, "the shipped model": shipped });
    const tokens = { bos_token: "<s>", eos_token: "</s>", pad_token: "<pad>" };
    const answer = await askPython<{ version: string; rendered: (string | null)[][][] }>(
      new URL("chat_peer.py", import.meta.url),
      {
        directory: "fixtures/model",
        tokens,
        templates: [...templates.map(([, template]) => template), ...KNOWN_DIFFERENCES],
        conversations: CONVERSATIONS,
      },
    );
    const special = { bosToken: "<s>", eosToken: "</s>", padToken: "<pad>" };
    const render = (template: string, messages: Message[], addGenerationPrompt: boolean) => {
      try {
        return renderChat(template, messages, { addGenerationPrompt, tokenizer: special });
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
        return null;
      }
    };
    for (const [i, [name, template]] of templates.entries()) {
      await test.step(`${name}, transformers ${answer.version}`, () => {
        const ours = CONVERSATIONS.map((messages) =>
          [false, true].map((opening) => render(template, messages, opening))
        );
        assert.deepEqual(ours, answer.rendered[i]);
        assert.ok(ours.flat().some((text) => text !== null));
      });
    }
    const different = answer.rendered.slice(templates.length);
    for (const [i, template] of KNOWN_DIFFERENCES.entries()) {
      const theirs = different[i][0][0];
      assert.notEqual(theirs, null);
      assert.notEqual(render(template, CONVERSATIONS[0], false), theirs, "no longer a difference");
    }
  },
);

Deno.test(
  unless(lack, "chat: tools, calls, results and reasoning are written as transformers writes them"),
  async (test) => {
    const city = {
      type: "object",
      properties: { city: { type: "string", enum: ["Jarrel", "Zü"] } },
    };
    const tools = [{ type: "function", function: { name: "look_up", parameters: city } }];
    const call = (args: unknown) => ({
      type: "function",
      function: { name: "look_up", arguments: args },
    });
    const calling = (content: string | null, ...calls: unknown[]) => ({
      role: "assistant",
      content,
      tool_calls: calls,
    });
    const user = { role: "user", content: " Weather in Jarrel? " };
    const said = { role: "assistant", content: 'It is "sunny" in <Jarrel>.' };
    const result = { role: "tool", name: "look_up", content: 'sunny, "21 °C"\n' };
    const odd = { city: "Zü", deep: [1, 2.5, true, null, { "a b": "<é>" }] };
    const rows: { messages: Message[]; tools: unknown[] | null }[] = [
      { messages: [user, calling("", call({ city: "Jarrel" })), result, said], tools },
      { messages: [user, calling(null, call(odd)), result, said], tools },
      { messages: [user, calling(null, call('{"city": "Jarrel"}')), result, said], tools },
      { messages: [user, calling("Both.", call(odd), call({})), result, result], tools },
      {
        messages: [{ role: "system", content: "Be kind." }, user, said],
        tools: [...tools, ...tools],
      },
      { messages: [user, { ...said, reasoning_content: "\nIt was.\n" }], tools: null },
      { messages: [user, { ...said, reasoning_content: "Old." }, user, said], tools: null },
      { messages: [user, said], tools: [] },
    ];
    const names = ["llama3_1", "qwen2_5", "qwen3"];
    const templates = await Promise.all(
      names.map((name) => Deno.readTextFile(`tests/text/tool_templates/${name}.jinja`)),
    );
    const answer = await askPython<{ version: string; rendered: (string | null)[][][] }>(
      new URL("chat_peer.py", import.meta.url),
      {
        directory: "fixtures/model",
        tokens: { bos_token: "<s>", eos_token: "</s>" },
        templates,
        conversations: rows.map(({ messages }) => messages),
        tools: rows.map((row) => row.tools),
      },
    );
    for (const [i, name] of names.entries()) {
      await test.step(`${name}, transformers ${answer.version}`, () => {
        const ours = rows.map(({ messages, tools }) =>
          [false, true].map((addGenerationPrompt) => {
            try {
              return renderChat(templates[i], messages, { addGenerationPrompt, tools, tokenizer });
            } catch (error) {
              assert.ok(error instanceof UserError, String(error));
              return null;
            }
          })
        );
        assert.deepEqual(ours, answer.rendered[i]);
        assert.ok(ours[0].every((text) => text?.includes("look_up") && text.includes("Jarrel")));
      });
    }
  },
);

import assert from "node:assert/strict";
import { Template } from "@huggingface/jinja";
import { BoundedTemplate } from "../../src/text/bounded_template.ts";
import { type Message, renderChat } from "../../src/text/chat.ts";
import { UserError } from "../../src/errors.ts";
import { CHAT_TEMPLATES, CONVERSATIONS } from "./chat_templates.ts";

const conversation: Message[] = [
  { role: "user", content: "ab <x> ".repeat(2000) },
  { role: "assistant", content: "</think>".repeat(1000) },
];

const variables = (messages: unknown) => ({
  messages,
  add_generation_prompt: true,
  bos_token: "<s>",
  eos_token: "</s>",
  pad_token: "",
});

const render = (template: string, messages: unknown = conversation) =>
  new BoundedTemplate(template).render(variables(messages), new Date());

const outcome = (action: () => string): string => {
  try {
    return action();
  } catch (error) {
    return `error: ${(error as Error).message}`;
  }
};

/** Programs that would run for hours, or fill any memory, each in another way. */
const HOSTILE: Record<string, string> = {
  "empty loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
  "loops over a list kept":
    "{% set a = range(50000) %}{% for i in a %}{% for j in a %}{% endfor %}{% endfor %}",
  "a loop behind a condition":
    "{% set a = range(9999) %}{% for i in a if i in a %}{% for j in a if j in a %}x{% endfor %}{% endfor %}",
  "loops that are left":
    "{% set a = range(9999) %}{% for i in a %}{% for j in a %}{% for k in a %}{% break %}{% endfor %}{% endfor %}{% endfor %}",
  "few loops that are left": "{% for i in range(30000) %}{% continue %}{% endfor %}",
  "few unknown names": `{% for i in range(300) %}${"{{ q }}".repeat(100)}{% endfor %}`,
  "unknown names": `{% for i in range(100000) %}${"{{ q }}".repeat(100)}{% endfor %}`,
  "a text doubled":
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
  "a list doubled":
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
  "a list of lists of lists":
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
  "mappings of mappings as JSON":
    "{% set n = namespace(x={}) %}{% for i in range(60) %}{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | tojson }}",
  "a list that an equals sign makes text":
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == '' }}",
  "a list of lists of a namespace":
    "{% set n = namespace(x=[namespace(a=1)]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
  "two calls in a call":
    "{% macro f(f, n) %}{% if n > 0 %}{{ f(f, n - 1) }}{{ f(f, n - 1) }}{% endif %}{% endmacro %}{{ f(f, 60) }}",
  "a search for what is nearly there":
    "{% set n = namespace(x='ab') %}{% for i in range(20) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ (n.x ~ '#' ~ n.x) in n.x ~ n.x }}",
  "a split at what is nearly there":
    "{% set n = namespace(x='ab') %}{% for i in range(18) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x.split('#' ~ n.x[:100000]) }}",
  "a method kept":
    "{% set f = messages[0].content.replace %}{% for i in range(9999) %}{{ f('a', messages[0].content) }}{% endfor %}",
  "a replacement by itself":
    "{% set n = namespace(x='ab') %}{% for i in range(20) %}{% set n.x = n.x | replace('a', n.x) %}{% endfor %}",
  "a replacement in a block":
    "{% for i in range(9999) %}{% filter replace('a', messages[0].content) %}{{ messages[0].content }}{% endfilter %}{% endfor %}",
  "a long join": "{% set x = range(100000) | join(messages[0].content) %}",
  "a deep indent": "{{ 'a\nb\nc' | indent(400000000) }}",
  "an indent in JSON": "{{ [[1]] | tojson(indent=400000000) }}",
  "everything as JSON, often":
    "{% for i in range(100000) %}{% set x = messages | tojson %}{% endfor %}",
  "everything printed and dropped":
    "{% for i in range(100000) %}{% set x %}{{ messages }}{% endset %}{% endfor %}",
  "dates": "{% for i in range(100000) %}{{ strftime_now('%B') }}{% endfor %}",
  "macros defined": `{% for i in range(99999) %}{% macro f() %}${
    "{{ 1 }}".repeat(20_000)
  }{% endmacro %}{% endfor %}`,
};

const UNENDING = /more work than writing this conversation down can need/;

Deno.test("bounded template: whatever would not come to an end is ended", () => {
  for (const [name, template] of Object.entries(HOSTILE)) {
    const startedMs = performance.now();
    assert.throws(() => render(template), UNENDING, name);
    assert.ok(performance.now() - startedMs < 20_000, `${name} took too long`);
  }
});

Deno.test("bounded template: a long conversation allows work in proportion, not hours", () => {
  const turns = Array.from({ length: 200 }, () => ({ role: "user", content: "Hello." }));
  const startedMs = performance.now();
  assert.throws(() => render(HOSTILE["empty loops"], turns), UNENDING);
  assert.ok(performance.now() - startedMs < 5000);
});

Deno.test("bounded template: what loops at one conversation alone is ended at that one", () => {
  const template = `{% if 'xyzzy' in messages[0].content %}${HOSTILE["empty loops"]}{% endif %}ok`;
  const tokenizer = { bosToken: null, eosToken: null, padToken: null };
  const say = (content: string) =>
    renderChat(template, [{ role: "user", content }], { addGenerationPrompt: true, tokenizer });
  assert.equal(say("Hello"), "ok");
  assert.throws(() => say("xyzzy"), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(
      error.message,
      /Cannot apply the chat template to a conversation of user: it takes/,
    );
    return true;
  });
});

Deno.test("bounded template: lists that no memory holds are refused before they are made", () => {
  for (
    const bounds of ["1000000000", "0, 5, 0.0000001", "9007199254740990, 9007199254740999", "1e400"]
  ) {
    assert.throws(() => render(`{{ range(${bounds}) | length }}`), Error, bounds);
  }
});

Deno.test("bounded template: namespaces within lists, but not within themselves", () => {
  const two = "{% set a = namespace(k=1) %}{% set l = [a, {'b': a}] %}";
  const template = `${two}{% set a.k = [2, 'x'] %}{{ l[0].k }}{{ l | tojson }}{{ l }}`;
  assert.equal(
    render(template),
    `[2, 'x'][{"k": [2, "x"]}, {"b": {"k": [2, "x"]}}]` +
      `[<Namespace {'k': [2, 'x']}>, {'b': <Namespace {'k': [2, 'x']}>}]`,
  );
  for (const use of ["{{ n }}", "{{ n | tojson }}", "{% if n == 'x' %}{% endif %}"]) {
    for (const within of ["n", "[n, n]", "{'a': [n, n]}"]) {
      const startedMs = performance.now();
      const circle = `{% set n = namespace() %}{% set n.x = ${within} %}${use}`;
      assert.throws(() => render(circle), Error, circle);
      assert.ok(performance.now() - startedMs < 5000, circle);
    }
  }
});

Deno.test("bounded template: programs that are too long or too deep to be read", () => {
  for (
    const template of [
      "x".repeat(200_001),
      "x".repeat(9) + " ".repeat(1000),
      `{{ ${"(".repeat(50_000)}1${")".repeat(50_000)} }}`,
      `{{ 1${"+1".repeat(60_000)} }}`,
    ]
  ) {
    assert.throws(() => render(template));
  }
});

Deno.test("bounded template: a macro sees what stands where it is defined, not what its caller has", () => {
  const shows = "{% macro f() %}[{{ x }}{{ y }}{{ caller is defined }}]{% endmacro %}";
  const calls = {
    "{% set x = 1 %}{% for y in [5] %}{{ f() }}{% endfor %}": "[1False]",
    "{% macro g(x) %}{{ f() }}{% endmacro %}{{ g(3) }}": "[False]",
    "{% macro g(y) %}{{ f() }}{{ caller() }}{% endmacro %}{% call g(1) %}a{% endcall %}":
      "[False]a",
    "{% for y in [5] %}{% call f() %}{% endcall %}{% endfor %}": "[True]",
  };
  for (const [call, expected] of Object.entries(calls)) {
    assert.equal(render(shows + call), expected, call);
  }
  assert.equal(
    render("{% for y in [5, 6] %}{% macro f() %}{{ y }}{% endmacro %}{{ f() }}{% endfor %}"),
    "56",
  );
});

Deno.test("bounded template: attributes that are looked up in another way than Jinja's are refused", () => {
  for (
    const filter of [
      "map(attribute='a.b')",
      "selectattr('a.b')",
      "selectattr('role', 'undefined')",
      "rejectattr('role', 'undefined')",
    ]
  ) {
    assert.match(
      outcome(() => render(`{{ messages | ${filter} | list }}`)),
      /of a plain attribute/,
    );
  }
  assert.equal(render("{{ messages | rejectattr('role', 'defined') | list }}"), "[]");
});

Deno.test("bounded template: there is no way out of the sandbox", () => {
  for (
    const template of [
      "{{ messages.constructor.constructor('return Deno')().exit(3) }}",
      "{{ self.constructor }}{{ namespace.constructor('return this')() }}",
      "{% set messages.__proto__.polluted = 1 %}",
      "{{ raise_exception.constructor('return Deno')().exit(3) }}",
      "{{ ''.__class__.__mro__ }}",
    ]
  ) {
    assert.match(outcome(() => render(template)), /^error: /, template);
  }
  assert.equal(render("{{ ''.__class__ }}{{ messages.__proto__ }}"), "");
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

Deno.test("bounded template: honest ones give what the library alone gives", () => {
  const long = Array.from({ length: 400 }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `Turn ${i} with <b>tags</b>. `.repeat(100),
  }));
  const tools =
    "{% macro show(v) %}{{ v | tojson(indent=2) }}{{ varargs | length }}{% endmacro %}{{ True | tojson }}{{ 'x' if none is none }}" +
    "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(5, 1, -2) | join(',') }}{{ range(2, 2) | length }}" +
    "{% set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text ~ m.role %}{{ show(m) }}{% endfor %}" +
    "{{ ns.text }}{{ messages[0].content.split(' ')[-1] }}{{ strftime_now('%Y') }}{{ messages[::-1][0].role }}";
  for (const template of [...Object.values(CHAT_TEMPLATES), tools]) {
    const plain = new Template(template);
    for (const messages of [...CONVERSATIONS, conversation, long]) {
      assert.equal(
        outcome(() => render(template, messages)),
        outcome(() => plain.render(variables(messages))),
      );
    }
  }
});

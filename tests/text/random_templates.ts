import type { Random } from "../../fixtures/random.ts";

const TEXTS = [
  ...[
    "",
    " a b ",
    "Hello",
    "\\n\\n  x\\n",
    "nai\u0308ve \u0085",
    "\ufeffx\ufeff",
    "it's",
    'a\\"b',
    "😀é",
    "xyx",
  ],
  ...["a,b,,c", "tRuE words", "3", "-7.5", "<b>&amp;"],
];
const NUMBERS = ["0", "3", "-7", "2.5", "-0.5", "10"];
const PLAIN = [
  "true",
  "True",
  "false",
  "none",
  "None",
  "tools",
  "documents",
  "unknown",
  "messages",
];

/** A Jinja expression put together by chance from what chat templates use. */
function expression(random: Random, depth: number): string {
  const text = () => `'${random.pick(TEXTS).replaceAll("'", "\\'")}'`;
  if (depth === 0) {
    return random.pick([
      text,
      text,
      () => random.pick(NUMBERS),
      () => random.pick(PLAIN),
      () => "messages[0].content",
      () => "messages[-1]['role']",
      () => "x.items",
      () => "x.count",
      () => "x['items']",
      () => "x.none",
    ])();
  }
  const part = () => expression(random, random.below(depth));
  const parts = () => Array.from({ length: random.below(4) }, part).join(", ");
  const chars = () => random.pick(["", "' '", "'\\n'", "'x\\n '", "none", "'aé'"]);
  return random.pick([
    () => `(${part()} ${random.pick(["+", "-", "*", "%", "~", "//"])} ${part()})`,
    () => `(${part()} ~ ${part()})`,
    () => `(${part()} ${random.pick(["==", "!=", "<", "in", "not in", "and", "or"])} ${part()})`,
    () => `(-7 % ${random.pick(NUMBERS)})`,
    () => `[${parts()}]`,
    () => `{'k': ${part()}, 'items': ${part()}}`,
    () => `(${part()} if ${part()} else ${part()})`,
    () => `(not ${part()})`,
    () => `${text()}.${random.pick(["strip", "lstrip", "rstrip"])}(${chars()})`,
    () => `messages[0].content.${random.pick(["strip", "lstrip", "rstrip"])}(${chars()})`,
    () => `${text()}.${random.pick(["upper", "lower", "title", "capitalize", "split"])}()`,
    () =>
      `${text()}.${
        random.pick(["removeprefix", "removesuffix", "count", "find", "split"])
      }(${text()})`,
    () => `${text()}.replace(${text()}, ${text()})`,
    () => `(${text()}.${random.pick(["startswith", "endswith"])}(${text()}))`,
    () =>
      `(${part()} | ${
        random.pick(["trim", "length", "string", "upper", "lower", "capitalize", "tojson"])
      })`,
    () => `([${parts()}] | join(${text()}))`,
    () => `(${part()} | default(${part()}))`,
    () =>
      `(${part()} is ${random.pick(["", "not "])}${
        random.pick([
          "defined",
          "none",
          "string",
          "number",
          "integer",
          "iterable",
          "mapping",
          "true",
          "sequence",
        ])
      })`,
    () => `${text()}[${random.pick(["0", "-1", "1:", ":-1", "::-1", "40"])}]`,
    () => `(${part()}).length`,
    () => `(${part()}).nope.deeper`,
  ])();
}

/** A chat template put together by chance. */
export function randomTemplate(random: Random): string {
  const value = () => expression(random, 1 + random.below(3));
  return random.pick([
    () => `{{ ${value()} }}`,
    () => `{{ ${value()} }}`,
    () => `{% if ${value()} %}yes{% else %}no{% endif %}`,
    () =>
      `{% for m in messages %}{{ loop.index }}{% set y = ${value()} %}{{ y }}{% endfor %}{{ y }}`,
    () => `{% set y = 0 %}{% for m in messages %}{{ y }}{% set y = y + 1 %}{% endfor %}{{ y }}`,
    () =>
      `{% for i in unknown %}{{ i }}{% endfor %}{% set y %}{{ ${value()} }}{% endset %}[{{ y }}]`,
    () => `{% macro f(a, b=${value()}) %}{{ a }}-{{ b }}{% endmacro %}{{ f(${value()}) }}`,
    () =>
      `{% set n = namespace(v=${value()}) %}{% for m in messages %}{% set n.v = n.v ~ m.role %}{% endfor %}{{ n.v }}`,
  ])();
}

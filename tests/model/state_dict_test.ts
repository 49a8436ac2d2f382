import assert from "node:assert/strict";
import { canonicalNames } from "../../src/model/state_dict.ts";

const PARTS = ["embed_tokens.weight", "layers.0.input_layernorm.weight", "norm.weight"];
const CANONICAL = [...PARTS.map((part) => `model.${part}`), "lm_head.weight"];

function check(stored: string[], rule: string | null, expected = CANONICAL): void {
  const naming = canonicalNames(stored);
  assert.deepEqual(stored.map((name) => naming.names.get(name)), expected);
  assert.equal(naming.rule, rule);
}

Deno.test("state_dict: names as transformers has them stay", () => {
  check(CANONICAL, null);
  check(["a.b", "c"], null, ["a.b", "c"]);
});

Deno.test("state_dict: prefixes that programs put before names", () => {
  for (const prefix of ["module.", "_orig_mod.", "model.", "module._orig_mod.", "policy.model."]) {
    check(CANONICAL.map((name) => prefix + name), `${prefix}model.* as model.*`);
  }
});

Deno.test("state_dict: a decoder without its model, with the head beside it or not", () => {
  check([...PARTS, "lm_head.weight"], "* as model.*");
  check(PARTS, "* as model.*", CANONICAL.slice(0, -1));
  check(PARTS.map((part) => `module.${part}`), "module.* as model.*", CANONICAL.slice(0, -1));
});

Deno.test("state_dict: names beyond the rule stay, to be seen", () => {
  check(
    [...CANONICAL.map((name) => `module.${name}`), "value_head.weight"],
    "module.model.* as model.*",
    [...CANONICAL, "value_head.weight"],
  );
  check(["a.embed_tokens.weight", "b.embed_tokens.weight"], null, [
    "a.embed_tokens.weight",
    "b.embed_tokens.weight",
  ]);
});

Deno.test("state_dict: wrappers within names", () => {
  const within = (wrapper: string) =>
    CANONICAL.map((name) => name.replace(/(layers\.0\.|embed_tokens\.)/, `$1${wrapper}`));
  check(within("_orig_mod."), "names without _orig_mod");
  check(
    within("_fsdp_wrapped_module._checkpoint_wrapped_module."),
    "names without _fsdp_wrapped_module, _checkpoint_wrapped_module",
  );
  check(
    within("module.").map((name) => `policy.${name}`),
    "policy.model.* as model.*, names without module",
  );
  check(
    PARTS.map((part) => `a._b.${part}`).toSpliced(0, 1),
    "a._b.* as model.*",
    CANONICAL.slice(1, -1),
  );
});

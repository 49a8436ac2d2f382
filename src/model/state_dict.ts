// This module is browser compatible.

const EMBEDDING = "embed_tokens.weight", HEAD = "lm_head.weight";
/** Where the embedding is stored as the head alone, the decoder is known by this. */
const FIRST_NORM = "layers.0.input_layernorm.weight";
/** What programs call a module around another one: `_orig_mod` of torch.compile, `_fsdp_wrapped_module`, `module`. */
const WRAPPER = /^(?:_\w+|module)$/;

/** How tensors are called in a file, and what transformers calls them. */
export interface Naming {
  /** Canonical names by those of the file. */
  names: Map<string, string>;
  /** The rule in words, `module.model.* as model.*`, or null where the names are canonical. */
  rule: string | null;
}

/**
 * Finds out how a file's names relate to those of transformers. Programs put prefixes before them (`module.` of
 * DistributedDataParallel, `_orig_mod.` of torch.compile, whatever an attribute was called), wrap modules within (`layers.0.
 * _orig_mod.mlp`), or save the model without its head, whose names lack `model.`.
 *
 * @param names Of all tensors. Names that no rule covers stay as they are.
 */
export function canonicalNames(names: Iterable<string>): Naming {
  const all = [...names];
  const bare = new Map(all.map((name) => [name, withoutWrappers(name)]));
  const unchanged = { names: new Map(all.map((name) => [name, name])), rule: null };
  const endings = [EMBEDDING, FIRST_NORM].map((ending) =>
    all.filter((name) => `.${bare.get(name)}`.endsWith(`.${ending}`)).map((name) => ({
      name,
      decoder: bare.get(name)!.slice(0, -ending.length),
    }))
  );
  const anchors = endings.find((found) => found.length > 0) ?? [];
  if (anchors.length !== 1) return unchanged;
  const [{ name: anchor, decoder }] = anchors;
  // `a.model.layers` is the decoder of a model `a`; `a.layers` is a decoder alone, and its head may be beside it.
  const outer = decoder.endsWith("model.") ? decoder.slice(0, -"model.".length) : decoder;
  const canonical = (name: string) => {
    const short = bare.get(name)!;
    if (short === outer + HEAD) return HEAD;
    return short.startsWith(decoder) ? `model.${short.slice(decoder.length)}` : name;
  };
  const canonicals = new Map(all.map((name) => [name, canonical(name)]));
  if (all.every((name) => canonicals.get(name) === name)) return unchanged;
  return { names: canonicals, rule: ruleOf(anchor, decoder, all) };
}

function withoutWrappers(name: string): string {
  return name.split(".").filter((part) => !WRAPPER.test(part)).join(".");
}

/** @param anchor A tensor of the decoder, as the file calls it. */
function ruleOf(anchor: string, decoder: string, names: readonly string[]): string {
  const parts = anchor.split(".");
  const isWrapper = (part: string) => WRAPPER.test(part);
  let prefix = "";
  for (let left = decoder.split(".").length - 1; parts.length > 0;) {
    const [next] = parts;
    // Behind the decoder's own prefix, a wrapper belongs to it if it is around everything.
    const belongs = left > 0 ||
      isWrapper(next) && names.every((name) => name.startsWith(`${prefix}${next}.`));
    if (!belongs) break;
    if (!isWrapper(next)) left--;
    prefix += `${parts.shift()}.`;
  }
  const wrappers = names.filter((name) => name.startsWith(prefix))
    .flatMap((name) => name.slice(prefix.length).split(".").filter(isWrapper));
  return [
    ...prefix === "model." ? [] : [`${prefix}* as model.*`],
    ...wrappers.length === 0 ? [] : [`names without ${[...new Set(wrappers)].join(", ")}`],
  ].join(", ");
}

// This module is browser compatible.

const EMBEDDING = "embed_tokens.weight", HEAD = "lm_head.weight";

/** How tensors are called in a file, and what transformers calls them. */
export interface Naming {
  /** Canonical names by those of the file. */
  names: Map<string, string>;
  /** The rule in words, `module.model.* as model.*`, or null where the names are canonical. */
  rule: string | null;
}

/**
 * Finds out how a file's names relate to those of transformers. Programs put prefixes before them (`module.` of
 * DistributedDataParallel, `_orig_mod.` of torch.compile, whatever an attribute was called), or save the model without
 * its head, whose names lack `model.`.
 *
 * @param names Of all tensors. Names that no rule covers stay as they are.
 */
export function canonicalNames(names: Iterable<string>): Naming {
  const all = [...names];
  const embeddings = all.filter((name) => name === EMBEDDING || name.endsWith(`.${EMBEDDING}`));
  const unchanged = { names: new Map(all.map((name) => [name, name])), rule: null };
  if (embeddings.length !== 1) return unchanged;
  const decoder = embeddings[0].slice(0, -EMBEDDING.length);
  if (decoder === "model.") return unchanged;
  // `a.model.layers` is the decoder of a model `a`; `a.layers` is a decoder alone, and its head may be beside it.
  const outer = decoder.endsWith("model.") ? decoder.slice(0, -"model.".length) : decoder;
  const canonical = (name: string) => {
    if (name === outer + HEAD) return HEAD;
    return name.startsWith(decoder) ? `model.${name.slice(decoder.length)}` : name;
  };
  return {
    names: new Map(all.map((name) => [name, canonical(name)])),
    rule: `${decoder}* as model.*`,
  };
}

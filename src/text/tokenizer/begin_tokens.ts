// This module is browser compatible.
import { isObject } from "../../formats/json.ts";
import type { Component } from "./component.ts";

const TYPES = [
  "Sequence",
  "TemplateProcessing",
  "ByteLevel",
  "BertProcessing",
  "RobertaProcessing",
];

/**
 * What a `post_processor` of `tokenizer.json` puts in front of a text. What it puts behind is not asked for: completions
 * end as the options say.
 *
 * @throws {UserError} If its type or an option is not known to give what Hugging Face's tokenizers give.
 */
export function beginIdsOf(component: Component): number[] {
  const ids = read(component);
  component.end();
  return ids;
}

function read(component: Component): number[] {
  switch (component.type) {
    case "Sequence": // each one around what those before it made
      return component.parts("processors").map(beginIdsOf).reverse().flat();
    case "ByteLevel":
      component.ignore("add_prefix_space", "trim_offsets", "use_regex");
      return [];
    case "BertProcessing":
    case "RobertaProcessing": {
      component.ignore("sep", "trim_offsets", "add_prefix_space");
      const [, id] = component.list("cls");
      if (!Number.isSafeInteger(id)) component.refuse("cls", "a token and its id");
      return [Number(id)];
    }
    case "TemplateProcessing":
      component.ignore("pair");
      return templateIds(component);
    default:
      return component.refuseType(TYPES);
  }
}

function templateIds(component: Component): number[] {
  const template = component.list("single");
  const specials = component.object("special_tokens");
  const at = template.findIndex((item) => isObject(item) && isObject(item.Sequence));
  if (at < 0) component.refuse("single", "a list with a Sequence");
  return template.slice(0, at).flatMap((item) => {
    const special = isObject(item) && isObject(item.SpecialToken) ? item.SpecialToken.id : null;
    const token = specials[String(special)];
    const ids = isObject(token) ? token.ids : null;
    return Array.isArray(ids)
      ? ids.map(Number)
      : component.refuse("single", "a list of tokens that special_tokens describes");
  });
}

// This module is browser compatible.

/** Markup that needs no escaping any more. */
export class Html {
  constructor(readonly text: string) {}
}

/**
 * A template tag: values are escaped unless they are {@link Html}; lists are joined.
 *
 * @returns Markup in which no value can open a tag or end an attribute.
 */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(strings.reduce((text, part, i) => text + markup(values[i - 1]) + part));
}

export type HtmlValue = Html | string | number | readonly HtmlValue[];

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function markup(value: HtmlValue): string {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(markup).join("");
  return String(value).replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

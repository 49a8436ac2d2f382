/** What a model writes must not steer the terminal. */
export function harmless(text: string): string {
  // deno-lint-ignore no-control-regex -- these are the ones to be found
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
}

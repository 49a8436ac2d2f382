// This module is browser compatible.
import { UserError } from "../../errors.ts";
import { describe, isObject } from "../../formats/json.ts";

/**
 * A part of `tokenizer.json` with its options. What is not asked for is not understood: {@link Component.end} refuses it,
 * because a tokenizer that leaves an option out gives other ids.
 */
export class Component {
  readonly #asked = new Set<string>(["type"]);

  /**
   * @param json The part as it stands in the file.
   * @param file How messages call the file.
   * @param where The part's place in the file, such as `pre_tokenizer.pretokenizers[1]`.
   */
  constructor(
    readonly json: Readonly<Record<string, unknown>>,
    readonly file: string,
    readonly where: string,
  ) {}

  get type(): string {
    return String(this.json.type);
  }

  /** @throws {UserError} Always: the type is none of those that are known to be right. */
  refuseType(known: readonly string[]): never {
    throw new UserError(
      `Cannot use ${this.file}: expected ${this.where} to be of a type that gives the ids of Hugging Face's tokenizers ` +
        `here (${known.join(", ")}), found ${
          describe(this.json.type)
        }: use a model with another tokenizer`,
    );
  }

  /** @throws {UserError} Always. */
  refuse(option: string, expected: string): never {
    throw new UserError(
      `Cannot use ${this.file}: expected "${option}" of ${this.where} (${this.type}) to be ${expected}, found ${
        describe(this.json[option])
      }: use a model with another tokenizer`,
    );
  }

  /** An option that `accepts` takes; the fallback where it is absent or null. */
  #option<T>(
    name: string,
    expected: string,
    accepts: (value: unknown) => boolean,
    fallback?: T,
  ): T {
    this.#asked.add(name);
    const value = this.json[name] ?? fallback;
    if (value === undefined || value !== fallback && !accepts(value)) this.refuse(name, expected);
    return value as T;
  }

  flag(name: string, fallback?: boolean): boolean {
    return this.#option(name, "true or false", (value) => typeof value === "boolean", fallback);
  }

  text(name: string, fallback?: string): string {
    return this.#option(name, "a text", (value) => typeof value === "string", fallback);
  }

  /** A text of one character. */
  character(name: string, fallback?: string): string {
    const one = (value: unknown) => typeof value === "string" && [...value].length === 1;
    return this.#option(name, "one character", one, fallback);
  }

  count(name: string, fallback?: number): number {
    const natural = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
    return this.#option(name, "a whole number", natural, fallback);
  }

  oneOf<T extends string>(name: string, values: readonly T[], fallback?: NoInfer<T>): T {
    const known = (value: unknown) => values.includes(value as T);
    return this.#option(name, `one of ${values.join(", ")}`, known, fallback);
  }

  object(name: string): Record<string, unknown> {
    return this.#option(name, "an object", isObject);
  }

  list(name: string, fallback?: unknown[]): unknown[] {
    return this.#option(name, "a list", Array.isArray, fallback);
  }

  /** The parts that a `Sequence` has. */
  parts(name: string): Component[] {
    return this.list(name).map((part, i) =>
      new Component(isObject(part) ? part : {}, this.file, `${this.where}.${name}[${i}]`)
    );
  }

  /** Options that change no id. */
  ignore(...names: string[]): this {
    for (const name of names) this.#asked.add(name);
    return this;
  }

  /** @throws {UserError} If there is an option that nobody asked for. */
  end(): void {
    const unknown = Object.keys(this.json).find((name) => !this.#asked.has(name));
    if (unknown !== undefined) this.refuse(unknown, "absent, since it is not known here");
  }
}

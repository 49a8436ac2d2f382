// This module is browser compatible.

import { UserError } from "../errors.ts";
import type { Directory } from "./files.ts";

/**
 * Reads a JSON file that must hold an object.
 *
 * @throws {UserError} If the file is missing, no JSON, or another kind of value.
 */
export async function readJsonObject(
  directory: Directory,
  file: string,
): Promise<Record<string, unknown>> {
  const text = await directory.readText(file);
  const value = parsePythonJson(text, `${directory.name}/${file}`);
  if (!isObject(value)) {
    throw new UserError(
      `Cannot read ${directory.name}/${file}: expected a JSON object, found ${describe(value)}`,
    );
  }
  return value;
}

/** Parses JSON; `name` is how the error message calls the text. */
export function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `Cannot read ${name}: expected JSON, found a mistake (${(error as Error).message})`,
    );
  }
}

/**
 * As {@link parseJson}, but the numbers that Python writes and JSON does not have, `NaN` and `Infinity`, are null.
 *
 * @throws {UserError} If there is another mistake.
 */
export function parsePythonJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const plain = text.replaceAll(
      /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs,
      (token) => token.startsWith('"') ? token : "null",
    );
    return parseJson(plain, name);
  }
}

/** Whether `value` is a JSON object, neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A JSON value as error messages show it: its kind, and its text where that is short. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return "an object";
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

/**
 * Refuses JSON in which an object has a key twice, which `JSON.parse` resolves silently.
 *
 * @param text Valid JSON.
 * @throws {UserError} Naming the key.
 */
export function refuseDuplicateKeys(text: string, name: string): void {
  const objects: Set<string>[] = [];
  let string = "";
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}:]/g)) {
    if (token === "{") objects.push(new Set());
    else if (token === "}") objects.pop();
    else if (token !== ":") string = token;
    else {
      const key = JSON.parse(string);
      const keys = objects.at(-1)!;
      if (keys.has(key)) {
        throw new UserError(
          `Cannot read ${name}: expected every key once, found ${
            describe(key)
          } twice in one object`,
        );
      }
      keys.add(key);
    }
  }
}

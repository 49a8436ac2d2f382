/**
 * Patterns of files. Not Node's own, which asks for an environment variable that no task is permitted to read.
 *
 * @module
 */

import picomatch from "picomatch"; // small and strict, and what most of npm's tools match with
import { explain } from "./files.ts";

/** Whether a path with slashes fits a pattern: `*` stops at slashes, `**` does not. */
export function matchesPattern(path: string, pattern: string): boolean {
  return picomatch(pattern)(path);
}

/** The paths of all files that fit a pattern; those below hidden folders do not, nor do hidden files. */
export async function filesOfPattern(pattern: string): Promise<string[]> {
  const parts = pattern.replaceAll("\\", "/").split("/");
  const first = parts.findIndex((part) => /[*?]/.test(part));
  const wild = parts.slice(first);
  const folder = parts.slice(0, first).map((part) => `${part}/`).join("");
  const depth = wild.includes("**") ? Infinity : wild.length;
  const files = await listFiles(folder === "" ? "." : folder.replace(/(?<=.)\/$/, ""), depth);
  return files.filter((path) => matchesPattern(path, wild.join("/"))).map((path) => folder + path);
}

/**
 * Relative paths of all files below a folder, hidden ones left out.
 *
 * @param depth How many folders deep; 1: only those in the folder itself.
 */
export async function listFiles(folder: string, depth = Infinity, below = ""): Promise<string[]> {
  const path = `${folder}/${below}`;
  const entries = await explain("list", path, () => Array.fromAsync(Deno.readDir(path)));
  const visible = entries.filter(({ name }) => !name.startsWith("."));
  const lists = visible.map(async ({ name, isDirectory }) => {
    if (!isDirectory) return [`${below}${name}`];
    return depth > 1 ? await listFiles(folder, depth - 1, `${below}${name}/`) : [];
  });
  return (await Promise.all(lists)).flat();
}

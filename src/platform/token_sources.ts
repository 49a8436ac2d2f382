import { fileURLToPath } from "node:url";
import denoConfig from "../../deno.json" with { type: "json" };
import { cacheKey } from "../formats/cache.ts";
import { hashDirectory } from "./disk_cache.ts";
import { openDirectory } from "./files.ts";

/** Folders whose code reads rows and makes tokens of them. */
export const ROOMS = ["data", "data/exports", "formats", "text", "text/tokenizer"];

/**
 * Digest of the code that makes tokens, libraries included: what was computed by other code is not looked up.
 *
 * @param sources The folder of {@link ROOMS}.
 */
export async function hashTokenSources(
  sources: URL = new URL("../", import.meta.url),
): Promise<string> {
  const folders = await Promise.all(
    ROOMS.map((room) => openDirectory(fileURLToPath(new URL(room, sources)))),
  );
  return await cacheKey([
    denoConfig.imports,
    await Promise.all(
      folders.map((folder) => hashDirectory(folder, (name) => name.endsWith(".ts"))),
    ),
  ]);
}

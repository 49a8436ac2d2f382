import { createHash } from "node:crypto";
import { parseAnswer } from "../data/answer_rows.ts";
import { parsePair } from "../data/pair_rows.ts";
import { HOLD_ROWS, readRows, rowSuffix } from "../data/rows.ts";
import { UserError } from "../errors.ts";
import type { TrainingFile, UploadStore } from "../serve/training_files.ts";
import { createDirectory, explain, ignoreMissing, openDirectory } from "./files.ts";

/** No upload's own name begins with a dot. */
const FACTS = ".upload.json";
const UNFINISHED = ".tmp-";
/** Uploads that are kept at a time. */
const MOST_UPLOADS = 100;

/** What is kept of an upload besides its file. */
type Facts = Pick<TrainingFile, "filename" | "bytes" | "rows" | "createdAt">;

/** Uploads in a folder: each in a folder of its own that is named by the hash of its content. */
export class DiskUploads implements UploadStore {
  /** @param path The folder; it need not be there yet. */
  constructor(readonly path: string) {}

  async list(): Promise<TrainingFile[]> {
    const files = await Promise.all((await this.#folders()).map((name) => this.get(name)));
    return files.filter((file) => file !== null).sort((a, b) => b.createdAt - a.createdAt);
  }

  async get(id: string): Promise<TrainingFile | null> {
    if (!/^file-[0-9a-f]{24}$/.test(id)) return null;
    try {
      const folder = `${this.path}/${id}`;
      const facts: Facts = JSON.parse(await Deno.readTextFile(`${folder}/${FACTS}`));
      return { id, source: "upload", path: `${folder}/${facts.filename}`, ...facts };
    } catch (error) {
      ignoreMissing(error);
      return null;
    }
  }

  async add(name: string, content: ReadableStream<Uint8Array>): Promise<TrainingFile> {
    const filename = plainName(name);
    if (rowSuffix(filename) === null) {
      throw new UserError(`Expected a file ending in ${HOLD_ROWS}, found "${filename}"`);
    }
    const kept = await this.#folders();
    if (kept.length >= MOST_UPLOADS) {
      throw new UserError(`Expected at most ${MOST_UPLOADS} uploads, found as many: delete one`);
    }
    const folder = `${this.path}/${UNFINISHED}${crypto.randomUUID()}`;
    try {
      const directory = await createDirectory(folder);
      const hash = createHash("sha256");
      let bytes = 0;
      await directory.write(
        filename,
        content.pipeThrough(
          new TransformStream({
            transform(chunk: Uint8Array<ArrayBuffer>, controller) {
              hash.update(chunk);
              bytes += chunk.length;
              controller.enqueue(chunk);
            },
          }),
        ),
      );
      const rows = await countPairs(folder, filename);
      const createdAt = Math.floor(Date.now() / 1000);
      const facts: Facts = { filename, bytes, rows, createdAt };
      await directory.writeText(FACTS, JSON.stringify(facts));
      const id = `file-${hash.digest("hex").slice(0, 24)}`;
      if (await this.get(id) === null) await Deno.rename(folder, `${this.path}/${id}`);
      return (await this.get(id))!;
    } finally {
      await Deno.remove(folder, { recursive: true }).catch(ignoreMissing);
    }
  }

  async remove(id: string): Promise<boolean> {
    if (await this.get(id) === null) return false;
    await explain("remove", id, () => Deno.remove(`${this.path}/${id}`, { recursive: true }));
    return true;
  }

  async keepPreferences(lines: Iterable<string>): Promise<string> {
    const whole = [...lines].join("");
    const hash = createHash("sha256").update(whole).digest("hex").slice(0, 24);
    const directory = await createDirectory(`${this.path}/preferences`);
    await directory.writeText(`${hash}.jsonl`, whole);
    return `${directory.name}/${hash}.jsonl`;
  }

  async #folders(): Promise<string[]> {
    try {
      const entries = await Array.fromAsync(Deno.readDir(this.path));
      return entries.map(({ name }) => name).filter((name) => name.startsWith("file-"));
    } catch (error) {
      ignoreMissing(error);
      return [];
    }
  }
}

/** @throws {UserError} If a row is no preference pair, and no answer with a label. @returns How many there are. */
async function countPairs(folder: string, name: string): Promise<number> {
  const directory = await openDirectory(folder);
  let rows = 0;
  try {
    for await (const row of readRows([{ files: [{ directory, name }], slice: null }])) {
      // A training says by its loss which of them it takes.
      if ("label" in row.value) parseAnswer(row);
      else parsePair(row);
      rows++;
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // The client knows the file by its own name.
    throw new UserError(error.message.replaceAll(`${folder}/`, ""));
  }
  if (rows === 0) throw new UserError(`Expected rows in ${name}, found none`);
  return rows;
}

/** A name without folders and odd characters, as it stands in a path and in answers. */
function plainName(name: string): string {
  const last = name.split(/[/\\]/).at(-1)!;
  return last.replaceAll(/[^\w.-]/g, "_").replace(/^[.-]+/, "").slice(-128) || "upload";
}

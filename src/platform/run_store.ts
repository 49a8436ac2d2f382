import { UserError } from "../errors.ts";
import { isObject, parseJson } from "../formats/json.ts";
import type { RunStore, StoredRun } from "../serve/runs.ts";
import { parseModelName } from "../serve/runs.ts";
import type { MetricsLine, RunRecord } from "../report/run_record.ts";
import { ignoreMissing } from "./files.ts";

/** The run directories of a folder. Names come from clients: only plain ones are looked at, and links are not followed. */
export class DiskRuns implements RunStore {
  /** @param path The folder; it need not be there yet. */
  constructor(readonly path: string) {}

  async list(): Promise<StoredRun[]> {
    const runs = await Promise.all((await foldersOf(this.path)).map((name) => this.get(name)));
    const time = ({ record }: StoredRun) => Date.parse(record.startedAt);
    return runs.filter((run) => run !== null).sort((a, b) => time(b) - time(a));
  }

  async get(id: string): Promise<StoredRun | null> {
    const text = await this.#read(id, "run.json");
    if (text === null) return null;
    try {
      const record = parseJson(text, `${id}/run.json`);
      return isRecord(record) ? { id, record } : null;
    } catch (error) {
      if (error instanceof UserError) return null; // another program's file
      throw error;
    }
  }

  async metrics(id: string): Promise<MetricsLine[]> {
    const text = await this.#read(id, "metrics.jsonl") ?? "";
    const whole = text.slice(0, text.lastIndexOf("\n") + 1); // a line may be being written
    return whole.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  report(id: string): Promise<string | null> {
    return this.#read(id, "report.html");
  }

  async checkpoints(id: string): Promise<number[]> {
    if (!await this.#isRun(id)) return [];
    const folder = `${this.path}/${id}/checkpoints`;
    const names = (await infoOf(folder))?.isDirectory ? await foldersOf(folder) : [];
    return names.flatMap((name) => {
      const step = /^step-(\d{1,15})$/.exec(name)?.[1];
      return step === undefined ? [] : [Number(step)];
    }).sort((a, b) => a - b);
  }

  async remove(id: string): Promise<void> {
    if (!await this.#isRun(id)) return;
    await Deno.remove(`${this.path}/${id}`, { recursive: true });
  }

  async pathOf(id: string, step: number | null): Promise<string | null> {
    if (!await this.#isRun(id)) return null;
    const path = `${this.path}/${id}`;
    if (step !== null) {
      return (await this.checkpoints(id)).includes(step)
        ? `${path}/checkpoints/step-${step}`
        : null;
    }
    const isModel = await isFile(`${path}/config.json`) ||
      await isFile(`${path}/adapter_config.json`);
    return isModel ? path : null;
  }

  async #read(id: string, file: string): Promise<string | null> {
    if (!await this.#isRun(id)) return null;
    const path = `${this.path}/${id}/${file}`;
    return await isFile(path) ? await Deno.readTextFile(path) : null;
  }

  async #isRun(id: string): Promise<boolean> {
    const plain = parseModelName(id)?.run === id;
    return plain && (await infoOf(`${this.path}/${id}`))?.isDirectory === true;
  }
}

function isRecord(value: unknown): value is RunRecord {
  return isObject(value) && typeof value.command === "string" && isObject(value.options) &&
    isObject(value.origins) && !Number.isNaN(Date.parse(String(value.startedAt))) &&
    Array.isArray(value.data);
}

async function foldersOf(path: string): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(path));
    return entries.filter((entry) => entry.isDirectory).map((entry) => entry.name);
  } catch (error) {
    ignoreMissing(error);
    return [];
  }
}

async function infoOf(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    ignoreMissing(error);
    return null;
  }
}

const isFile = async (path: string) => (await infoOf(path))?.isFile === true;

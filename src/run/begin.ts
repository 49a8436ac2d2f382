// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { readJsonObject } from "../formats/json.ts";
import { STATE } from "../train/checkpoint.ts";
import type { Ports, RunOutput } from "./ports.ts";

/** Where a run directory says when its run began. */
const BEGIN = "begin.json";

/**
 * The time that a run began. Chat templates may print it: a run that is resumed must have the rows of then.
 *
 * @param options.resume The checkpoint to go on with, "latest", or null for a run that begins now.
 * @param options.output The run directory.
 */
export async function beginOf(
  { resume, output }: { resume: string | null; output: string | null },
  ports: Pick<Ports, "now" | "openDirectory">,
): Promise<Date> {
  const began = resume === null
    ? null
    : resume === "latest"
    ? await readBegin(() => ports.openDirectory(output!), BEGIN)
    : await readBegin(() => ports.openDirectory(resume), STATE);
  return began ?? ports.now(); // a run of before this was kept
}

/** @returns null if there is none; what is wrong with the directory is told when it is resumed from. */
async function readBegin(open: () => Promise<Directory>, file: string): Promise<Date | null> {
  try {
    const directory = await open();
    if (!await directory.has(file)) return null;
    const began = new Date(String((await readJsonObject(directory, file)).begunAt));
    return Number.isNaN(began.getTime()) ? null : began;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** Keeps the time that a run began beside its checkpoints, for whoever goes on with the latest. */
export async function keepBegin({ files }: Pick<RunOutput, "files">, begunAt: Date): Promise<void> {
  await files.writeText(BEGIN, JSON.stringify({ begunAt: begunAt.toISOString() }) + "\n");
}

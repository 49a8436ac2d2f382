/** The permissions of the server's task, and the log that Deno keeps of their use. */
import { resolve } from "node:path";
import denoConfig from "../../deno.json" with { type: "json" };
import { jsonLines } from "./command.ts";
import { TASK } from "./server.ts";

export type Permissions = Record<"read" | "write" | "net" | "env" | "sys" | "run", string[]>;

/**
 * The permissions of the task. It may read everything, as a model may lie anywhere; here this folder, and what the system is
 * called, must be enough. (Where all of reading is allowed, Deno 2.9 asks of each path that is read whether it might be
 * written too, without need, and its log has a denied write beside every read.)
 */
export const GIVEN: Permissions = {
  ...denoConfig.permissions.serve,
  read: [".", "/etc/os-release"],
};

/** The task's words with these permissions. */
export function taskWith(permissions: Permissions): string[] {
  const flags = Object.entries(permissions)
    .filter(([, list]) => list.length > 0)
    .map(([name, list]) => `--allow-${name}=${list}`);
  return TASK.flatMap((word) => word === "-P=serve" ? flags : [word]);
}

/** A use of a permission, as Deno's audit log has it. */
export interface Use {
  permission: string;
  value: string;
}

/** Reads what a process with `DENO_AUDIT_PERMISSIONS` has left. */
export const usesIn = async (log: string) => jsonLines<Use>(await Deno.readTextFile(log));

/** Whether a use lies within the permissions of the task, and a read within this folder. */
export function isGiven({ permission, value }: Use): boolean {
  const isBelow = (folder: string) => `${resolve(value)}/`.startsWith(`${resolve(folder)}/`);
  switch (permission) {
    case "read":
      return value.startsWith(`file://${resolve(".")}/`) || GIVEN.read.some(isBelow);
    case "write":
      return GIVEN.write.some(isBelow);
    case "net":
      return GIVEN.net.includes(value.replace(/:\d+$/, ""));
    case "env":
      return GIVEN.env.includes(value);
  }
  return false;
}

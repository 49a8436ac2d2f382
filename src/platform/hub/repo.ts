/** A repository of the model hub, at a revision. */
export interface HubRepo {
  type: "model" | "dataset";
  /** `HuggingFaceTB/SmolLM-135M`. */
  name: string;
  /** A branch, a tag or a commit. */
  revision: string;
}

// The hub's own rules. They also keep names apart from what means something in a path.
const NAME = /^[A-Za-z0-9_][\w.-]{0,95}\/[A-Za-z0-9_][\w.-]{0,95}$/;
const REVISION = /^[A-Za-z0-9_][\w.-]*(?:\/[\w][\w.-]*)*$/;

/**
 * @param id `name`, or `name@revision`; without a revision `main`.
 * @returns null if it is not of that form.
 */
export function parseRepo(type: HubRepo["type"], id: string): HubRepo | null {
  const [, name, revision = "main"] = /^([^@]+)(?:@(.+))?$/.exec(id) ?? [];
  if (name === undefined || /--|\.\./.test(name) || revision.includes("..")) return null;
  return NAME.test(name) && REVISION.test(revision) ? { type, name, revision } : null;
}

/** @returns The repository as the command line names it. */
export function repoId({ name, revision }: HubRepo): string {
  return revision === "main" ? name : `${name}@${revision}`;
}

import { UserError } from "../../errors.ts";
import { matchesPattern } from "../glob.ts";
import type { RepoFile, RepoListing } from "./listing.ts";
import { repoId } from "./repo.ts";

/** Where weights may be, the best place first. */
const WEIGHTS = [
  /^model\.safetensors$/,
  /^model(?:-\d+-of-\d+\.safetensors|\.safetensors\.index\.json)$/,
  /^pytorch_model\.bin$/,
  /^pytorch_model(?:-\d+-of-\d+\.bin|\.bin\.index\.json)$/,
];
/** Configuration, tokenizer and chat template. */
const COMPANIONS = /^(?!.*\.index\.json$)[^/]+\.(?:json|jinja)$|^merges\.txt$/;
const ROWS = /\.(?:jsonl(?:\.gz|\.zst)?|json|parquet)$/;
const DATASET_CARD = "README.md";
const ABOUT_ROWS = /(?:^|\/)(?:\.[^/]*|dataset_infos?\.json)$/;

/**
 * The files that training needs, out of all that a repository has: of a model one set of weights (safetensors before
 * pickles), configuration and tokenizer, no weights of other frameworks; of a dataset the rows, and the card that says
 * what they are.
 *
 * @param include A glob pattern that the files must match too.
 * @throws {UserError} If there are none.
 */
export function neededFiles(listing: RepoListing, include: string | null): RepoFile[] {
  const { repo, files } = listing;
  const needed = repo.type === "model"
    ? modelFiles(files)
    : files.filter(({ path }) => ROWS.test(path) && !ABOUT_ROWS.test(path));
  const kept = needed.filter(({ path }) => include === null || matchesPattern(path, include));
  if (kept.length > 0) return [...cardOf(listing), ...kept];
  const some = files.slice(0, 8).map(({ path }) => path).join(", ") || "nothing";
  throw new UserError(
    `Cannot download ${repo.type} ${repoId(repo)}: expected ${
      repo.type === "model" ? "weights in safetensors or PyTorch files" : "JSON or Parquet files"
    }${include === null ? "" : ` that match ${include}`}, found ${some}`,
  );
}

/** The card of a dataset, if it has one. */
export function cardOf({ repo, files }: RepoListing): RepoFile[] {
  return files.filter(({ path }) => repo.type === "dataset" && path === DATASET_CARD);
}

function modelFiles(files: readonly RepoFile[]): RepoFile[] {
  const weights = WEIGHTS
    .map((pattern) => files.filter(({ path }) => pattern.test(path)))
    .find((found) => found.length > 0);
  if (weights === undefined) return [];
  return [...files.filter(({ path }) => COMPANIONS.test(path)), ...weights];
}

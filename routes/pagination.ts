/** Lists in OpenAI's shape, a part at a time. */
import { z } from "zod";
import { ApiError } from "./errors.ts";

/** Largest part of a list; who asks for more gets this many, and a cursor. */
const MOST = 100;

/** Which part of a list is wanted. */
export const PageQuery = z.object({
  after: z.string().max(256).optional(),
  limit: z.coerce.number().int().min(1).transform((limit) => Math.min(limit, MOST)).default(20),
});
export type PageQuery = z.infer<typeof PageQuery>;

/** @throws {ApiError} 400 if the cursor is none of the list's. */
export function pageOf<T extends { id: string }>(all: readonly T[], { after, limit }: PageQuery) {
  const at = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
  if (after !== undefined && at < 0) {
    throw new ApiError(400, `Expected an id of this list, found "${after}"`, { param: "after" });
  }
  const data = all.slice(at + 1, at + 1 + limit);
  return {
    object: "list" as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + limit < all.length,
  };
}

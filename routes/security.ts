/** Who may ask for what: keys, hosts, origins, and how much a request may hold. */
import { createMiddleware } from "hono/factory";
import { bodyLimit } from "hono/body-limit";
import { ApiError } from "./errors.ts";

export interface SecurityOptions {
  /** The key that every request but `/health` and the page's files must bring as `Authorization: Bearer`, or null. */
  apiKey: string | null;
  /** Names that the `Host` header may have; null: any, for servers that others reach by other names. */
  hosts: readonly string[] | null;
  /** An origin whose pages may ask, besides the server's own; null: none. */
  corsOrigin: string | null;
}

/** Largest body. A million characters are far more than a model here can read. */
export const MOST_BODY_BYTES = 1 << 20;

/** Largest upload: some 100,000 pairs. */
export const MOST_UPLOAD_BYTES = 64 << 20;

/** Where files are sent, which come as forms. */
const UPLOADS = "/v1/files";

/** Refuses bodies that are too large, and those that break off. */
export const limitBody = createMiddleware(async (context, next) => {
  const { req } = context;
  const isUpload = req.method === "POST" && req.path === UPLOADS;
  const most = isUpload ? MOST_UPLOAD_BYTES : MOST_BODY_BYTES;
  const tooLarge = (headers = {}) =>
    new ApiError(413, `Expected a body of at most ${most} bytes, found more`, { headers });
  // Refused without a look at it, so that the socket can let it pass by and stay open.
  if (Number(req.header("content-length") ?? 0) > most) throw tooLarge();
  if (req.raw.body) {
    const onError = () => {
      throw tooLarge({ connection: "close" });
    };
    // Hono keeps what was read for whoever parses it.
    await bodyLimit({ maxSize: most, onError })(context, async () => void await req.arrayBuffer())
      .catch((error: unknown) => {
        if (error instanceof ApiError) throw error;
        throw new ApiError(400, "Expected a whole body, found its end missing or broken");
      });
  }
  await next();
});

/** Asks for the key. Comparing hashes takes the same time wherever the keys differ. */
export function authenticate({ apiKey }: SecurityOptions) {
  const digest = (text: string) =>
    crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
      .then((bytes) => new Uint8Array(bytes));
  const expected = apiKey === null ? null : digest(apiKey);
  return createMiddleware(async (context, next) => {
    if (expected !== null && context.req.path !== "/health") {
      const given = /^Bearer (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
      const [a, b] = [await expected, await digest(given ?? "")];
      const difference = a.reduce((sum, byte, i) => sum | byte ^ b[i], 0);
      if (given === undefined || difference !== 0) {
        throw new ApiError(401, "Expected the server's key as Authorization: Bearer KEY", {
          code: "invalid_api_key",
          headers: { "www-authenticate": "Bearer" },
        });
      }
    }
    await next();
  });
}

/**
 * Keeps out pages of other sites: a name that was made to point here (DNS rebinding) shows in `Host`, a foreign page in
 * `Origin`, which they also send with a form; and a form has no JSON in it.
 */
export function onlyOurPages({ hosts, corsOrigin }: SecurityOptions) {
  return createMiddleware(async (context, next) => {
    const { req } = context;
    // The other one is that of a request with a whole address in its first line.
    const target = URL.parse(req.url)?.host ?? ""; // some names make no URL
    const host = req.header("host") ?? target;
    for (const name of [host, target].map((each) => each.replace(/:\d+$/, "").toLowerCase())) {
      if (hosts !== null && !hosts.includes(name)) {
        throw new ApiError(403, `Expected a Host of ${hosts.join(", ")}, found ${name}`);
      }
    }
    const origin = req.header("origin");
    const own = origin !== undefined && URL.canParse(origin) && new URL(origin).host === host;
    if (origin !== undefined && !own && origin !== corsOrigin) {
      throw new ApiError(403, "Expected a request from this server's own page");
    }
    const writes = !["GET", "HEAD", "OPTIONS"].includes(req.method);
    const type = req.header("content-type") ?? "";
    // Clients name no type where they send nothing; a form names its own, and fetch brings an Origin.
    const empty = type === "" && (req.method === "DELETE" || req.header("content-length") === "0");
    const encoding = req.header("content-encoding") ?? "identity";
    if (writes && encoding !== "identity") {
      throw new ApiError(415, `Expected a body without Content-Encoding, found ${encoding}`);
    }
    const expected = req.path === UPLOADS ? "multipart/form-data" : "application/json";
    if (writes && !empty && type.split(";")[0].trim().toLowerCase() !== expected) {
      throw new ApiError(415, `Expected Content-Type: ${expected}, found ${type || "none"}`);
    }
    await next();
  });
}

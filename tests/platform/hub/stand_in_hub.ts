/** The part of the model hub's API that clients need to list, fetch and upload files, over files in memory. */
import { createHash } from "node:crypto";
// Routes, ranges of paths and streamed bodies in a few lines; also what the project serves HTTP with.
import { type Context, Hono } from "hono";

/** From this size on a file lies on a host of its own, as the hub keeps large files. */
const LARGE_BYTES = 1000;
const PAGE = 3;

/** What goes wrong with one request for a file. */
export type Fault =
  | "tampered"
  | "truncated"
  | "longer"
  | "missing"
  | "ignores ranges"
  | "status 503";

/** A repository at its only commit. */
export interface StandInRepo {
  commit: string;
  files: Map<string, Uint8Array<ArrayBuffer>>;
}

/** A request that was made, as far as tests look at it. */
export interface SeenRequest {
  method: string;
  path: string;
  authorization: string | null;
  range: string | null;
}

/** A hub on this machine. */
export class StandInHub implements AsyncDisposable {
  readonly repos = new Map<string, StandInRepo>();
  /** By a file's path, the faults of the next requests for it; the last one stays. */
  readonly faults = new Map<string, Fault[]>();
  readonly hubRequests: SeenRequest[] = [];
  readonly storageRequests: SeenRequest[] = [];
  /** A token without which nothing is told. */
  requiredToken: string | null = null;
  gated = false;
  refuseCommits = false;
  /** What repositories were created with. */
  readonly visibilities = new Map<string, string>();
  readonly #large = new Map<string, { path: string; content: Uint8Array<ArrayBuffer> }>();
  readonly #storage = serve((request) => this.#storageApp().fetch(request));
  readonly #hub = serve((request) => this.#hubApp().fetch(request));

  get endpoint(): string {
    return originOf(this.#hub);
  }

  /** @param key As in `models/org/name`. */
  add(key: string, files: Record<string, string | Uint8Array<ArrayBuffer>>): StandInRepo {
    const repo: StandInRepo = {
      commit: hashOf("sha1", key + JSON.stringify(Object.keys(files))),
      files: new Map(
        Object.entries(files).map(([path, content]) => [
          path,
          typeof content === "string" ? new TextEncoder().encode(content) : content,
        ]),
      ),
    };
    this.repos.set(key, repo);
    return repo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#hub.shutdown(), this.#storage.shutdown()]);
  }

  #hubApp(): Hono {
    const app = new Hono();
    app.use(async (c, next) => {
      this.hubRequests.push(seen(c));
      if (this.requiredToken !== null) {
        const token = c.req.header("authorization");
        if (token !== `Bearer ${this.requiredToken}`) return c.json({ error: "Unauthorized" }, 401);
      }
      await next();
    });
    app.get("/api/:type/:org/:name/revision/:revision", (c) => {
      const repo = this.#repo(c);
      if (!repo || !["main", repo.commit].includes(c.req.param("revision"))) {
        return c.json({ error: "Repository or revision not found" }, 404);
      }
      const id = `${c.req.param("org")}/${c.req.param("name")}`;
      const siblings = [...repo.files.keys()].map((rfilename) => ({ rfilename }));
      return c.json({
        _id: "1",
        id,
        sha: repo.commit,
        lastModified: "2026-01-01T00:00:00.000Z",
        siblings,
      });
    });
    app.get("/api/:type/:org/:name/tree/:commit", (c) => {
      const repo = this.#repo(c)!;
      const start = Number(c.req.query("cursor") ?? 0);
      const entries = [...repo.files].map(([path, content]) => entry(path, content));
      if (start + PAGE < entries.length) {
        const next = new URL(c.req.url);
        next.searchParams.set("cursor", String(start + PAGE));
        c.header("link", `<${next}>; rel="next"`);
      }
      return c.json(entries.slice(start, start + PAGE));
    });
    this.#addUploads(app);
    const resolve = (c: Context, key: string, path: string) => {
      const repo = this.repos.get(key);
      const content = repo?.files.get(path);
      if (!repo || !content) {
        c.header("x-error-code", "EntryNotFound");
        return c.json({ error: "Entry not found" }, 404);
      }
      if (this.gated) return c.json({ error: "Access to this repository is restricted" }, 403);
      c.header("x-repo-commit", repo.commit);
      const { lfs, oid } = entry(path, content);
      if (!lfs) {
        c.header("etag", `"${oid}"`);
        return this.#body(c, path, content);
      }
      this.#large.set(lfs.oid, { path, content });
      c.header("x-linked-etag", `"${lfs.oid}"`);
      c.header("x-linked-size", String(lfs.size));
      return c.redirect(`${originOf(this.#storage)}/${lfs.oid}`);
    };
    app.get("/datasets/:org/:name/resolve/:commit/:path{.+}", (c) => {
      const { org, name, path } = c.req.param();
      return resolve(c, `datasets/${org}/${name}`, path);
    });
    app.get("/:org/:name/resolve/:commit/:path{.+}", (c) => {
      const { org, name, path } = c.req.param();
      return resolve(c, `models/${org}/${name}`, path);
    });
    return app;
  }

  /** Creation, the question which files are large, their upload, and the commit. */
  #addUploads(app: Hono): void {
    app.post("/api/repos/create", async (c) => {
      const { organization, name, visibility } = await c.req.json();
      const key = `models/${organization}/${name}`;
      if (this.repos.has(key)) return c.json({ error: "You already created this model repo" }, 409);
      this.visibilities.set(key, visibility);
      this.add(key, {});
      return c.json({ url: `${this.endpoint}/${organization}/${name}`, id: "1" });
    });
    app.post("/api/models/:org/:name/preupload/:branch", async (c) => {
      const { files } = await c.req.json();
      const modes = files.map(({ path, size }: { path: string; size: number }) => ({
        path,
        uploadMode: size >= LARGE_BYTES ? "lfs" : "regular",
      }));
      return c.json({ files: modes });
    });
    app.post("/:org/:name{.+\\.git}/info/lfs/objects/batch", async (c) => {
      const { objects } = await c.req.json();
      const href = (oid: string) => `${originOf(this.#storage)}/${oid}`;
      return c.json({
        transfer: "basic",
        objects: objects.map((object: { oid: string }) => ({
          ...object,
          actions: { upload: { href: href(object.oid) } },
        })),
      });
    });
    app.post("/api/models/:org/:name/commit/:branch", async (c) => {
      const { org, name } = c.req.param();
      if (this.refuseCommits) return c.json({ error: "invalid model card" }, 400);
      const { files } = this.repos.get(`models/${org}/${name}`)!;
      const lines = (await c.req.text()).split("\n").filter(Boolean).map((line) =>
        JSON.parse(line)
      );
      for (const { key, value } of lines) {
        if (key === "file") files.set(value.path, Uint8Array.fromBase64(value.content));
        if (key === "lfsFile") files.set(value.path, this.#large.get(value.oid)!.content);
      }
      return c.json({
        commitOid: "0".repeat(40),
        commitUrl: `${this.endpoint}/${org}/${name}/commit/0`,
      });
    });
  }

  #storageApp(): Hono {
    const app = new Hono();
    app.put("/:hash", async (c) => {
      this.storageRequests.push(seen(c));
      const content = new Uint8Array(await c.req.arrayBuffer());
      if (hashOf("sha256", content) !== c.req.param("hash")) return c.text("", 400);
      this.#large.set(c.req.param("hash"), { path: "", content });
      return c.text("");
    });
    app.get("/:hash", (c) => {
      this.storageRequests.push(seen(c));
      const { path, content } = this.#large.get(c.req.param("hash"))!;
      c.header("etag", `"${c.req.param("hash")}"`);
      return this.#body(c, path, content);
    });
    return app;
  }

  #repo(c: Context): StandInRepo | undefined {
    const { type, org, name } = c.req.param();
    return this.repos.get(`${type}/${org}/${name}`);
  }

  #body(c: Context, path: string, content: Uint8Array<ArrayBuffer>): Response {
    const faults = this.faults.get(path) ?? [];
    const fault = faults.length > 1 ? faults.shift() : faults[0];
    if (fault === "status 503") return c.text("", 503, { "retry-after": "0" });
    if (fault === "missing") return c.text("", 404);
    let whole = content;
    if (fault === "tampered") {
      whole = content.map((byte, i) => i === content.length >> 1 ? byte ^ 1 : byte);
    }
    if (fault === "longer") whole = new Uint8Array([...content, 7]);
    const begin = fault === "ignores ranges"
      ? 0
      : Number(/^bytes=(\d+)-/.exec(c.req.header("range") ?? "")?.[1] ?? 0);
    if (begin > 0) {
      c.status(206);
      c.header("content-range", `bytes ${begin}-${whole.length - 1}/${whole.length}`);
    }
    const sent = whole.subarray(begin);
    c.header("accept-ranges", "bytes");
    if (fault !== "truncated") {
      c.header("content-length", String(sent.length));
      return c.body(sent);
    }
    // A body of unknown length that breaks off in the middle.
    return c.body(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(sent.slice(0, Math.ceil(sent.length / 2)));
          controller.close();
        },
      }),
    );
  }
}

function seen(c: Context): SeenRequest {
  return {
    method: c.req.method,
    path: c.req.path,
    authorization: c.req.header("authorization") ?? null,
    range: c.req.header("range") ?? null,
  };
}

function entry(path: string, content: Uint8Array) {
  const oid = hashOf("sha1", new TextEncoder().encode(`blob ${content.length}\0`), content);
  const listed = { type: "file", path, size: content.length, oid };
  const lfs = { oid: hashOf("sha256", content), size: content.length, pointerSize: 130 };
  return { ...listed, lfs: content.length >= LARGE_BYTES ? lfs : undefined };
}

function hashOf(algorithm: string, ...parts: (string | Uint8Array)[]): string {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function serve(handler: (request: Request) => Response | Promise<Response>) {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
}

function originOf({ addr }: Deno.HttpServer<Deno.NetAddr>): string {
  return `http://127.0.0.1:${addr.port}`;
}

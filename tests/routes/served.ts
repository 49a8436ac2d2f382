/** The shipped model behind the app, in this process. */
import { createApp } from "../../routes/app.ts";
import type { AppOptions } from "../../routes/app.ts";
import { openStoredModel } from "../../src/cli/inputs.ts";
import { LocalServing } from "../../src/serve/local_serving.ts";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import { stopIdsOf } from "../../src/text/prompt.ts";
import { MemoryOutput } from "../cli/output.ts";
import { gpu } from "../kernels/harness.ts";

const stored = await openStoredModel("fixtures/model", { stderr: new MemoryOutput() });
export const tokenizer = stored.tokenizer!;
export const serving = new LocalServing(gpu, {
  precision: "f32",
  slots: 4,
  positions: 128,
  cacheRows: 512,
});
await serving.add("policy", stored);
await serving.add("reference", stored);
const voice = { tokenizer, stopIds: stopIdsOf(stored.config, tokenizer) };
const voices = new Map([["policy", voice], ["reference", voice]]);

const preferences = await SqlitePreferences.open(":memory:");

/** The app, with these differences from a server on this machine's own address. */
export function appWith(options: Partial<AppOptions> = {}) {
  const security = { apiKey: null, hosts: ["localhost"], corsOrigin: null };
  const rest = { voices, preferences, jobs: null, maxQueue: 8 };
  return createApp(serving, { ...rest, ...security, ...options });
}

export interface Reply {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into answers of many shapes
  body: any;
}

/** Asks the app; a body is sent as JSON. */
export async function ask(
  path: string,
  body?: unknown,
  { app = appWith(), headers = {}, method = body === undefined ? "GET" : "POST" }: {
    app?: ReturnType<typeof appWith>;
    headers?: Record<string, string>;
    method?: string;
  } = {},
): Promise<Reply> {
  const response = await app.request(`http://localhost${path}`, {
    method,
    headers: { ...body === undefined ? {} : { "content-type": "application/json" }, ...headers },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const isJson = /^application\/json\b/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
}

/** The events of a stream, and whether it ended as it should. */
export function eventsOf(text: string) {
  const data = text.split("\n\n").filter(Boolean).map((event) => event.replace(/^data: /, ""));
  return { ended: data.at(-1) === "[DONE]", events: data.slice(0, -1).map((e) => JSON.parse(e)) };
}

export const messages = (content: string) => [{ role: "user", content }];

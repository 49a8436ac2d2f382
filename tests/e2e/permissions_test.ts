/** What the server may do by the permissions of its task is what it does, and no less would work. */
import assert from "node:assert/strict";
import { inTemporaryDirectory } from "./command.ts";
import { GIVEN, isGiven, type Permissions, taskWith, usesIn } from "./permissions.ts";
import { ask, headers, serveAs, until } from "./server.ts";

Deno.test("a server that answers, scores, keeps, trains and evaluates uses nothing beyond its permissions", () =>
  inTemporaryDirectory(async (directory) => {
    const log = `${directory}/uses.jsonl`;
    const files = "few=fixtures/pairs/eval.jsonl[:2]";
    const preferences = `runs/preferences-${crypto.randomUUID()}.db`;
    const flags = ["--reference", "fixtures/model", "--max-model-len", "128"];
    flags.push("--training-files", files, "--preferences", preferences);
    const env = { DENO_AUDIT_PERMISSIONS: log };
    let output = "";
    try {
      await using server = await serveAs(taskWith(GIVEN), env, ...flags);
      const get = async (path: string, body?: unknown) => {
        const response = await ask(server.address, path, body);
        const text = await response.text();
        assert.ok(response.ok, `${path}: ${text}`);
        return text.startsWith("{") ? JSON.parse(text) : text;
      };
      const messages = [{ role: "user", content: "What should I feed a quazzit?" }];
      const answer = (content: string) => ({ role: "assistant", content });
      for (const path of ["/", "/page/main.js", "/health", "/metrics", "/openapi.json"]) {
        await get(path);
      }
      await get("/v1/chat/completions", { messages, max_tokens: 4, stream: true });
      await get("/v1/score", { pairs: [{ prompt: "a", chosen: "b", rejected: "c" }] });
      const pair = { prompt: messages, chosen: [answer("Honey.")], rejected: [answer("No.")] };
      await get("/v1/preferences", { pairs: [pair] });
      await get("/v1/preferences/export");
      const upload = await uploaded(server.address, await Deno.readTextFile(PAIRS));
      const done = async (path: string, { id }: { id: string }) => {
        const job = () => get(`${path}/${id}`);
        await until(async () => !["queued", "running"].includes((await job()).status), 120_000);
        assert.equal((await job()).status, "succeeded");
      };
      const job = await get("/v1/fine_tuning/jobs", {
        model: "policy",
        training_file: upload,
        validation_file: "few",
        method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2 } } },
        smoldpo: { max_steps: 2, save_steps: 1, max_length: 64, truncation: "prompt_first" },
      });
      output = job.smoldpo.output;
      await done("/v1/fine_tuning/jobs", job);
      const run = job.id;
      const evaluation = { model: `${run}:step-1`, reference: "policy", file: "few" };
      await done("/v1/evaluations", await get("/v1/evaluations", evaluation));
      await get("/v1/completions", { model: `${run}:step-1`, prompt: "The", max_tokens: 2 });
      await get(`/v1/runs/${run}/report`);
      const file = `http://${server.address}/v1/files/${upload}`;
      assert.equal((await fetch(file, { method: "DELETE", headers })).status, 200);
      const ended = server.process.status;
      server.process.kill("SIGTERM");
      assert.equal((await ended).code, 0);
    } finally {
      await Deno.remove(preferences).catch(() => {});
    }
    const uses = await usesIn(log);
    assert.deepEqual(uses.filter((use) => !isGiven(use)), []);
    const kinds = new Set(uses.map(({ permission }) => permission));
    assert.deepEqual([...kinds].sort(), ["env", "net", "read", "write"]);
    assert.ok(uses.some(({ value }) => value.includes(output)), "what the job did is there too");
  }));

const PAIRS = "fixtures/pairs/eval.jsonl";

/** @returns The id of an upload. */
async function uploaded(address: string, content: string): Promise<string> {
  const body = new FormData();
  body.set("purpose", "fine-tune");
  body.set("file", new File([content], "mine.jsonl"));
  const response = await fetch(`http://${address}/v1/files`, { method: "POST", headers, body });
  assert.equal(response.status, 200);
  return (await response.json()).id;
}

/** What a server says that may not do one of the things that its task permits, and therefore must fail. */
async function refusalWithout(
  [kind, name]: [kind: keyof Permissions, name: string],
  flags: string[],
  env: Record<string, string>,
): Promise<string> {
  const permissions = { ...GIVEN, [kind]: GIVEN[kind].filter((each) => each !== name) };
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...taskWith(permissions), "--port", "0", ...flags],
    signal: AbortSignal.timeout(60_000), // a server that starts would run forever
    clearEnv: true,
    env: { NO_COLOR: "1", ...env },
  }).output();
  assert.ok(
    code === 1 || code === 2,
    `without ${kind} of ${name}: ${new TextDecoder().decode(stderr)}`,
  );
  return new TextDecoder().decode(stderr);
}

/** An IPv6 address without the brackets that it has in permissions. */
const bare = (name: string) => name.replace(/^\[|\]$/g, "");

Deno.test("a server needs each permission of its task", () =>
  inTemporaryDirectory(async (directory) => {
    const home = { HOME: "/nowhere", DENO_DIR: await denoDirectory() };
    const { HOME: _, ...homeless } = home;
    const cases: [without: [keyof Permissions, string], flags: string[], env: typeof homeless][] =
      [];
    cases.push([["read", "."], [], home]);
    for (const name of GIVEN.write) cases.push([["write", name], [], home]);
    for (const name of GIVEN.net) {
      const env = { ...home, SMOLDPO_API_KEY: "secret" };
      cases.push([["net", name], ["--host", bare(name)], env]);
    }
    for (const name of GIVEN.env) {
      // Where the user's cache of the hub is, the first of several variables says, each asked for where those before are not set.
      const flags = /^(?:HF|HUGGING|XDG_CACHE|HOME|USER)/.test(name) ? ["--model", "no/thing"] : [];
      cases.push([["env", name], flags, name === "USERPROFILE" ? homeless : home]);
    }
    if (Deno.build.os === "linux" && Deno.uid() === 0) {
      // No adapter, and an apt-get that brings none.
      await Deno.writeTextFile(`${directory}/apt-get`, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
      const without = {
        ...home,
        VK_DRIVER_FILES: "/none",
        DENO_WEBGPU_BACKEND: "vulkan",
        PATH: directory,
      };
      for (const name of GIVEN.sys) cases.push([["sys", name], [], without]);
      for (const name of GIVEN.run) cases.push([["run", name], [], without]);
    } else {
      console.log("sys and run are not tried: only root of a Debian Linux installs drivers");
    }
    while (cases.length > 0) {
      await Promise.all(
        cases.splice(0, 3).map(async ([without, flags, env]) => {
          const said = await refusalWithout(without, flags, env);
          const [kind, name] = without;
          const found = RegExp.escape(bare(name));
          const refusal = new RegExp(
            `Requires ${kind} access to|may (${kind} to|listen on), found ${found}`,
          );
          assert.match(said, refusal, `${without}: ${said}`);
        }),
      );
    }
  }));

/** Where Deno keeps npm's packages, which it would look for in another home. */
async function denoDirectory(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

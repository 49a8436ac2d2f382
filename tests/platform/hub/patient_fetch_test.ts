import assert from "node:assert/strict";
import { patientFetch, waitBefore } from "../../../src/platform/hub/patient_fetch.ts";

/** Gives `body` the address of a server that gives these answers, the last one again and again. */
async function withAnswers(
  answers: (() => Response)[],
  body: (url: string, asked: string[]) => Promise<void>,
): Promise<void> {
  const asked: string[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      asked.push(`${request.method} ${await request.text()}`);
      return (answers.length > 1 ? answers.shift()! : answers[0])();
    },
  );
  await body(`http://127.0.0.1:${server.addr.port}/`, asked);
}

const busy = (status: number, after = "0") => () =>
  new Response("busy", { status, headers: { "retry-after": after } });
const fine = () => new Response("fine");

Deno.test("patient fetch: a busy hub is asked again, up to five times", async () => {
  await withAnswers([busy(429), busy(503), busy(502), fine], async (url, asked) => {
    assert.equal(await (await patientFetch(url)).text(), "fine");
    assert.equal(asked.length, 4);
  });
  await withAnswers([busy(500)], async (url, asked) => {
    assert.equal((await patientFetch(url)).status, 500);
    assert.equal(asked.length, 5);
  });
});

Deno.test("patient fetch: other refusals and long waits are told at once", async () => {
  for (const answer of [busy(404), busy(401), busy(429, "300")]) {
    await withAnswers([answer], async (url, asked) => {
      await (await patientFetch(url)).body?.cancel();
      assert.equal(asked.length, 1);
    });
  }
});

Deno.test("patient fetch: a command is repeated only if it was not taken", async () => {
  const command = { method: "post", body: "commit" };
  await withAnswers([busy(429), fine], async (url, asked) => {
    assert.equal(await (await patientFetch(url, command)).text(), "fine");
    assert.deepEqual(asked, ["POST commit", "POST commit"]);
  });
  await withAnswers([busy(503), fine], async (url, asked) => {
    assert.equal((await patientFetch(url, command)).status, 503);
    assert.equal(asked.length, 1);
  });
});

Deno.test("patient fetch: an interrupt ends the wait", async () => {
  await withAnswers([busy(503, "20")], async (url) => {
    const controller = new AbortController();
    const answer = patientFetch(url, { signal: controller.signal });
    const aborted = assert.rejects(answer, { name: "AbortError" });
    controller.abort();
    await aborted;
  });
});

Deno.test("patient fetch: how long", () => {
  const now = Date.UTC(2026, 0, 1);
  assert.equal(waitBefore("7", 1, now), 7000);
  assert.equal(waitBefore("0", 4, now), 0);
  assert.equal(waitBefore("31", 1, now), null);
  assert.equal(waitBefore("Thu, 01 Jan 2026 00:00:03 GMT", 1, now), 3000);
  assert.equal(waitBefore("Wed, 31 Dec 2025 00:00:00 GMT", 1, now), 0);
  assert.deepEqual([1, 2, 3, 4].map((n) => waitBefore(null, n, now)), [1000, 2000, 4000, 8000]);
  assert.equal(waitBefore("soon", 2, now), 2000);
});

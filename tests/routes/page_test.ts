import assert from "node:assert/strict";
import { PAGE_PATHS } from "../../routes/page.ts";
import { appWith, ask } from "./served.ts";

Deno.test("the page's files are those of its folder, each of its type, guarded by a policy", async () => {
  const types = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
  for await (const { name } of Deno.readDir("routes/page")) {
    const path = name === "index.html" ? "/" : `/page/${name}`;
    assert.ok(PAGE_PATHS.includes(path), path);
    const { status, headers, body } = await ask(path);
    assert.equal(status, 200);
    assert.equal(body, await Deno.readTextFile(`routes/page/${name}`));
    const type = types[name.split(".").at(-1) as keyof typeof types];
    assert.equal(headers.get("content-type")!.split(";")[0], type, path);
    assert.match(headers.get("content-security-policy")!, /^default-src 'self';/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  }
});

Deno.test("the page names nothing of other origins, and has no script or style of its own", async () => {
  for (const path of PAGE_PATHS) {
    const { body } = await ask(path);
    const named = body.replace("http://www.w3.org/2000/svg", "").replace(/^\/\*!.*\*\//, ""); // a library's name
    assert.doesNotMatch(named, /https?:|["'(]\/\//, path);
    assert.doesNotMatch(body, /innerHTML|outerHTML|insertAdjacentHTML|document\.write/, path);
  }
  const { body } = await ask("/");
  assert.doesNotMatch(body, /<script(?![^>]*\ssrc=)|<style|\s(style|on\w+)=/);
});

Deno.test("the library that draws curves comes from the page's own routes", async () => {
  const { body, headers } = await ask("/page/uplot.js");
  assert.match(body, /^\/\*! \S+\/uPlot \(v[\d.]+\) \*\/\nvar uPlot=/);
  assert.match(headers.get("content-type")!, /^text\/javascript;/);
  assert.match((await ask("/page/uplot.css")).body, /^\.uplot/);
});

Deno.test("a name that points here from elsewhere does not get the page", async () => {
  const { status } = await ask("/", undefined, { headers: { host: "evil.example" } });
  assert.equal(status, 403);
  const app = appWith({ apiKey: "secret" });
  assert.equal((await ask("/page/nothing.js", undefined, { app })).status, 401);
});

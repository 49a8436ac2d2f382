/** A program for main_test.ts: a command that ends while a thread of its own, which it has terminated, still hangs. */
import { runProcess } from "../../src/cli/main.ts";

const code = `self.onmessage = () => { self.postMessage(""); for (;;); };`;

const module = {
  async run() {
    const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, {
      type: "module",
    });
    worker.postMessage("");
    await new Promise((resolve) => worker.onmessage = resolve);
    worker.terminate();
  },
};

// deno-lint-ignore no-explicit-any -- one module stands in for every command's
await runProcess(["train"], () => Promise.resolve(module as any));

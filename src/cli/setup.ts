/** `deno task setup`: looks for a WebGPU adapter and installs Mesa's where that is possible; for tests, which run next. */
import { UserError } from "../errors.ts";
import { ensureAdapter } from "../platform/adapter_setup.ts";

try {
  await ensureAdapter(console.error);
  // Keeps the drivers loaded: unloaded with the worker that looked, while this process ends, they take it down (SIGSEGV).
  await navigator.gpu.requestAdapter();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`error: ${error.message}`);
  Deno.exitCode = 2;
}

import assert from "node:assert/strict";
import { FileProgress } from "../../src/cli/file_progress.ts";
import { MemoryOutput } from "./output.ts";

/** What is written while a file of 4 MB arrives in two parts, and an empty one after it. */
function written(columns: number | null): string {
  const output = new MemoryOutput(columns);
  const progress = new FileProgress(output);
  for (const doneBytes of [2e6, 4e6, 4e6]) progress.update("a.bin", doneBytes, 4e6);
  progress.update("b.json", 0, 0);
  return output.text;
}

Deno.test("files: a line each where there is no terminal", () => {
  assert.equal(written(null), "100 %  4.0 MB  a.bin\n100 %  0.0 MB  b.json\n");
});

Deno.test("files: drawn over itself in a terminal, and no wider", () => {
  assert.equal(
    written(60),
    "\r 50 %  4.0 MB  a.bin\x1b[K\r100 %  4.0 MB  a.bin\x1b[K\n\r100 %  0.0 MB  b.json\x1b[K\n",
  );
  assert.ok(written(10).startsWith("\r 50 %  4.\x1b[K\r"));
});

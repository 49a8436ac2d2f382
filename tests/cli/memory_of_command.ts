/** A program for filter_test.ts: the command line, and then the most memory that the process had, as a line of JSON. */
import { processOutput } from "../../src/cli/context.ts";
import { main } from "../../src/cli/main.ts";

// What the system says of the peak is no use: it begins with the memory of the process that started this one.
let peakBytes = 0;
const watch = setInterval(() => {
  peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss);
}, 10);
Deno.exitCode = await main(Deno.args, processOutput(Deno.stdout), processOutput(Deno.stderr));
clearInterval(watch);
console.log(JSON.stringify({ peakBytes }));

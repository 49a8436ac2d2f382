/** `deno task test`: runs `deno test`, then says in a table what was skipped, why, and how to get it. */
import { table } from "../src/bench/table.ts";
import { lackIn } from "./skip.ts";

/** How to get what a machine lacks, by the reason that tests give. */
const REMEDIES: [lack: RegExp, remedy: string][] = [
  [/No module named '(torch|numpy)'/, "apt install python3-torch"],
  [/No module named|no python3|cannot import/i, "pip install -r tests/peers.txt (see .ci/run)"],
  [/chromium/, "apt install chromium"],
  [/shader-f16/, "a device with f16, such as Mesa's software Vulkan"],
  [/timestamps/, "a device with timestamps, such as Mesa's software Vulkan"],
  [/SMOLDPO_ENGINE/, "SMOLDPO_ENGINE=dawn deno test -A --no-lock tests/kernels (see .ci/run)"],
  [/IPv6/, "a loopback address ::1"],
  [/root/, "run the tests as root on Linux"],
  [/shared\/reference/, "data that is not part of this repository"],
];

interface Row {
  count: number;
  lack: string;
  remedy: string;
}

/** @param junit The report of `deno test --junit-path`. */
export function skippedTable(junit: string): string {
  const rows = new Map<string, Row>();
  for (const [, name] of junit.matchAll(/<testcase name="([^"]*)"[^>]*>\s*<skipped/g)) {
    const lack = lackIn(unescaped(name)) ?? "no reason given";
    const remedy = REMEDIES.find(([pattern]) => pattern.test(lack))?.[1] ?? "-";
    const row = rows.get(lack) ?? { count: 0, lack, remedy };
    rows.set(lack, { ...row, count: row.count + 1 });
  }
  if (rows.size === 0) return "";
  return "\n" + table([...rows.values()], [
    { head: "skipped", cell: ({ count }) => count, digits: 0 },
    { head: "because of", cell: ({ lack }) => lack },
    { head: "to run them", cell: ({ remedy }) => remedy },
  ]);
}

function unescaped(text: string): string {
  const named: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
  return text.replace(
    /&(?:#(\d+)|(\w+));/g,
    (all, code, name) => code ? String.fromCodePoint(Number(code)) : named[name] ?? all,
  );
}

if (import.meta.main) {
  const report = await Deno.makeTempFile();
  try {
    const args = ["test", "-P=test", `--junit-path=${report}`, ...Deno.args];
    const { code } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
    console.log(skippedTable(await Deno.readTextFile(report)).trimEnd());
    Deno.exitCode = code;
  } finally {
    await Deno.remove(report);
  }
}

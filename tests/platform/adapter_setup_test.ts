import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { ensureAdapter, type Host } from "../../src/platform/adapter_setup.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';

interface Machine extends Partial<Host> {
  /** What successive looks for an adapter find. */
  adapters: boolean[];
  release?: string;
  /** What apt-get says when it fails. */
  failure?: string;
}

async function ensure({ adapters, release = DEBIAN, failure, ...rest }: Machine) {
  const executed: string[] = [];
  const said: string[] = [];
  const run = ensureAdapter((line) => said.push(line), {
    os: "linux",
    isRoot: () => true,
    osRelease: () => Promise.resolve(release),
    hasAdapter: () => Promise.resolve(adapters.shift()!),
    execute(program, args) {
      executed.push([program, ...args].join(" "));
      return Promise.resolve({ success: failure === undefined, error: failure ?? "" });
    },
    ...rest,
  });
  const error = await run.then(() => null, (error: unknown) => error);
  assert.ok(error === null || error instanceof UserError, String(error));
  return { executed, said, message: error?.message };
}

Deno.test("with an adapter nothing happens", async () => {
  assert.deepEqual(await ensure({ adapters: [true] }), {
    executed: [],
    said: [],
    message: undefined,
  });
});

Deno.test("on Debian as root Mesa is installed, and that is said", async () => {
  const { executed, said, message } = await ensure({ adapters: [false, true] });
  assert.deepEqual(executed, [
    "apt-get update",
    "apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assert.match(said.join(), /installing Mesa's software Vulkan/);
  assert.equal(message, undefined);
});

Deno.test("a failed installation says why", async () => {
  const { executed, message } = await ensure({
    adapters: [false],
    failure: "W: x\nE: no network\n",
  });
  assert.deepEqual(executed, ["apt-get update"]);
  assert.match(message!, /apt-get update failed \(E: no network\): sudo apt-get install/);
});

Deno.test("an installation that does not help says so", async () => {
  assert.match((await ensure({ adapters: [false, false] })).message!, /even with Mesa's drivers/);
});

Deno.test("elsewhere the one line that helps is shown, and nothing is installed", async () => {
  const machines: [Omit<Machine, "adapters">, RegExp][] = [
    [{ isRoot: () => false }, /: sudo apt-get install -y mesa-vulkan-drivers libvulkan1$/],
    [{ release: 'ID=ubuntu\nID_LIKE="debian"', isRoot: () => false }, /sudo apt-get/],
    [{ release: 'ID="rocky"\nID_LIKE="rhel centos fedora"' }, /sudo dnf install/],
    [{ release: "ID=arch" }, /sudo pacman -S vulkan-swrast/],
    [{ release: 'ID="opensuse-leap"\nID_LIKE="suse opensuse"' }, /sudo zypper install/],
    [{ release: "" }, /install the Vulkan driver of your GPU/],
    [{ os: "darwin" }, /Metal/],
    [{ os: "windows" }, /DirectX 12/],
  ];
  for (const [machine, expected] of machines) {
    const { executed, message } = await ensure({ adapters: [false], ...machine });
    assert.deepEqual(executed, []);
    assert.match(message!, /^Expected a WebGPU adapter, found none: /);
    assert.match(message!, expected);
  }
});

Deno.test("looking for an adapter in a worker agrees with looking here", async () => {
  const here = await navigator.gpu.requestAdapter() !== null;
  if (!here) return console.log("skipped: no WebGPU adapter, and looking for one might install it");
  await ensureAdapter(() => assert.fail("nothing is to be said where an adapter is found"));
});

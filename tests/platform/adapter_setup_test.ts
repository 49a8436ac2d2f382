import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { ensureAdapter, type FoundAdapter, type Host } from "../../src/platform/adapter_setup.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';

interface Machine extends Partial<Host> {
  /** What successive looks for an adapter find. */
  adapters: FoundAdapter[];
  release?: string;
  allKernels?: boolean;
  /** What apt-get says when it fails. */
  failure?: string;
}

async function ensure({ adapters, release = DEBIAN, failure, allKernels, ...rest }: Machine) {
  const executed: string[] = [];
  const said: string[] = [];
  const host: Host = {
    os: "linux",
    isRoot: () => true,
    osRelease: () => Promise.resolve(release),
    findAdapter: () => Promise.resolve(adapters.shift()!),
    execute(program, args) {
      executed.push([program, ...args].join(" "));
      return Promise.resolve({ success: failure === undefined, error: failure ?? "" });
    },
    ...rest,
  };
  const run = ensureAdapter((line) => said.push(line), { allKernels, host });
  const error = await run.then(() => null, (error: unknown) => error);
  assert.ok(error === null || error instanceof UserError, String(error));
  return { executed, said, message: error?.message };
}

Deno.test("with an adapter nothing happens", async () => {
  assert.deepEqual(await ensure({ adapters: ["whole"] }), {
    executed: [],
    said: [],
    message: undefined,
  });
});

Deno.test("on Debian as root Mesa is installed, and that is said", async () => {
  const { executed, said, message } = await ensure({ adapters: ["none", "whole"] });
  assert.deepEqual(executed, [
    "apt-get update",
    "apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assert.match(said.join(), /installing Mesa's software Vulkan/);
  assert.equal(message, undefined);
});

Deno.test("an adapter without f16 serves, but for tests of all kernels Mesa is installed where it can be", async () => {
  const partial = "software without f16";
  const { executed, said } = await ensure({ adapters: [partial, "whole"], allKernels: true });
  assert.equal(executed.length, 2);
  assert.match(said.join(), /only OpenGL's software adapter: installing/);
  for (const machine of [{ allKernels: false }, { allKernels: true, isRoot: () => false }]) {
    const { executed, message } = await ensure({ adapters: [partial], ...machine });
    assert.deepEqual({ executed, message }, { executed: [], message: undefined });
  }
});

Deno.test("a failed installation says why", async () => {
  const { executed, message } = await ensure({
    adapters: ["none"],
    failure: "W: x\nE: no network\n",
  });
  assert.deepEqual(executed, ["apt-get update"]);
  assert.match(message!, /apt-get update failed \(E: no network\): sudo apt-get install/);
});

Deno.test("an installation that does not help says so", async () => {
  assert.match((await ensure({ adapters: ["none", "none"] })).message!, /even with Mesa's drivers/);
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
    const { executed, message } = await ensure({ adapters: ["none"], ...machine });
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

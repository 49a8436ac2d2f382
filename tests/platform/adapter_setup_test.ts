import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { adapterName } from "../../src/gpu/device.ts";
import {
  denoHost,
  ensureAdapter,
  type FoundAdapter,
  type Host,
} from "../../src/platform/adapter_setup.ts";
import { unless } from "../skip.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
const GPU: FoundAdapter = { description: "NVIDIA H100", f16: true };
const LAVAPIPE: FoundAdapter = { description: "llvmpipe (LLVM 19.1.7, 256 bits)", f16: true };
const OPENGL: FoundAdapter = { description: "llvmpipe (LLVM 19.1.7, 256 bits)", f16: false };
const INSTALL = [
  "apt-get update",
  "apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
];

interface Machine extends Partial<Host> {
  /** What successive looks for an adapter find. */
  adapters: (FoundAdapter | null)[];
  release?: string;
  /** What apt-get says when it fails. */
  failure?: string;
}

async function ensure({ adapters, release = DEBIAN, failure, ...rest }: Machine) {
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
  const run = ensureAdapter((line) => said.push(line), host);
  const error = await run.then(() => null, (error: unknown) => error);
  assert.ok(error === null || error instanceof UserError, String(error));
  return { executed, said, message: error?.message };
}

const NOTHING = { executed: [], said: [], message: undefined };

Deno.test("with an adapter nothing happens", async () => {
  for (const adapter of [GPU, LAVAPIPE, { ...GPU, f16: false }]) {
    assert.deepEqual(await ensure({ adapters: [adapter] }), NOTHING);
  }
});

Deno.test("on Debian as root Mesa is installed, and that is said", async () => {
  const { executed, said, message } = await ensure({ adapters: [null, LAVAPIPE] });
  assert.deepEqual(executed, INSTALL);
  assert.match(said.join(), /^No WebGPU adapter was found: installing Mesa's software Vulkan/);
  assert.equal(message, undefined);
});

Deno.test("with only OpenGL's software adapter Mesa's Vulkan is installed, or one line says how", async () => {
  const { executed, said } = await ensure({ adapters: [OPENGL, LAVAPIPE] });
  assert.deepEqual(executed, INSTALL);
  assert.match(said.join(), /^Only OpenGL's software adapter was found: installing/);
  const failed = await ensure({ adapters: [OPENGL], failure: "E: no network" });
  assert.equal(failed.message, undefined, "the adapter serves all the same");
  assert.match(failed.said[1], /apt-get update failed \(E: no network\)\. Mesa's.*: sudo apt-get/);
  for (
    const [machine, remedy] of [
      [
        { isRoot: () => false },
        /Mesa's software Vulkan is five times as fast and has f16: sudo apt-get install/,
      ],
      [
        { release: "ID=fedora" },
        /Mesa's software Vulkan is five times as fast and has f16: sudo dnf install/,
      ],
    ] as const
  ) {
    const { executed, said, message } = await ensure({ adapters: [OPENGL], ...machine });
    assert.deepEqual({ executed, said: said.length, message }, { ...NOTHING, said: 1 });
    assert.match(said[0], remedy);
  }
});

Deno.test("a failed installation says why", async () => {
  const { executed, message } = await ensure({
    adapters: [null],
    failure: "W: x\nE: no network\n",
  });
  assert.deepEqual(executed, ["apt-get update"]);
  assert.match(message!, /apt-get update failed \(E: no network\): sudo apt-get install/);
});

Deno.test("an installation that does not help says so", async () => {
  assert.match((await ensure({ adapters: [null, null] })).message!, /even with Mesa's drivers/);
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
    const { executed, message } = await ensure({ adapters: [null], ...machine });
    assert.deepEqual(executed, []);
    assert.match(message!, /^Expected a WebGPU adapter, found none: /);
    assert.match(message!, expected);
  }
});

const here = await navigator.gpu.requestAdapter();

Deno.test({
  ...unless(
    here ? null : "no WebGPU adapter",
    "looking for an adapter in a worker agrees with looking here",
  ),
  fn: async () => {
    const found = await denoHost().findAdapter();
    assert.deepEqual(found, {
      description: adapterName(here!),
      f16: here!.features.has("shader-f16"),
    });
  },
});

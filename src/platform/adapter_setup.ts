import { UserError } from "../errors.ts";

/** The first adapter that WebGPU offers. */
export interface FoundAdapter {
  description: string;
  f16: boolean;
}

/** What the set-up needs of the machine; tests put their own in its place. */
export interface Host {
  os: typeof Deno.build.os;
  isRoot(): boolean;
  /** @returns The text of /etc/os-release, empty where there is none. */
  osRelease(): Promise<string>;
  /** @returns What WebGPU offers now; null if nothing. */
  findAdapter(): Promise<FoundAdapter | null>;
  /** Runs a program to its end, without its output unless it fails. */
  execute(program: string, args: string[]): Promise<{ success: boolean; error: string }>;
}

const PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];
const NONE = "Expected a WebGPU adapter, found none";
// A step of the shipped model took 442 ms through Vulkan and 2,395 through OpenGL (Mesa 22.3, two cores, 2026-11-27).
const VULKAN_BRINGS = "Mesa's software Vulkan is five times as fast and has f16";

/**
 * Makes sure that there is a WebGPU adapter, before anything else asks for one. Where none is found, or only OpenGL's
 * software adapter, Debian and Ubuntu get Mesa's software Vulkan if we may install it; elsewhere one line says how.
 *
 * @param say Tells a person what is being done, a line at a time.
 * @throws {UserError} If there is no adapter, with the line that helps on this platform.
 */
export async function ensureAdapter(
  say: (line: string) => void,
  host: Host = denoHost(),
): Promise<void> {
  const found = await host.findAdapter();
  if (found && !isOpenGl(found)) return;

  const family = host.os === "linux" ? linuxFamily(await host.osRelease()) : host.os;
  const lack = found ? "Only OpenGL's software adapter was found" : "No WebGPU adapter was found";
  const giveUp = (why: string) => {
    if (!found) throw new UserError(`${NONE}${why}: ${remedy(family)}`);
    say(`${lack}${why}. ${VULKAN_BRINGS}: ${remedy(family)}`);
  };
  if (family !== "debian" || !host.isRoot()) return giveUp("");

  say(`${lack}: installing Mesa's software Vulkan (${PACKAGES.join(", ")})`);
  for (
    const args of [["update"], ["install", "-y", "--no-install-recommends", ...PACKAGES]]
  ) {
    const { success, error } = await host.execute("apt-get", args);
    if (!success) return giveUp(`, and apt-get ${args.join(" ")} failed (${lastLine(error)})`);
  }
  if (!await host.findAdapter()) {
    throw new UserError(
      `${NONE} even with Mesa's drivers: see what vulkaninfo (vulkan-tools) says`,
    );
  }
}

/** Mesa's llvmpipe offers f16 through Vulkan, not through OpenGL. */
function isOpenGl({ description, f16 }: FoundAdapter): boolean {
  return /llvmpipe/.test(description) && !f16;
}

/** @returns The distribution's family by ID and ID_LIKE of os-release(5), or "linux". */
function linuxFamily(osRelease: string): string {
  const ids = Array.from(osRelease.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)"?$/gm), ([, id]) => id)
    .flatMap((id) => id.split(" "));
  return ["debian", "fedora", "arch", "suse"].find((family) => ids.includes(family)) ?? "linux";
}

function remedy(family: string): string {
  switch (family) {
    case "debian":
      return `sudo apt-get install -y ${PACKAGES.join(" ")}`;
    case "fedora":
      return "sudo dnf install -y mesa-vulkan-drivers vulkan-loader";
    case "arch":
      return "sudo pacman -S vulkan-swrast vulkan-icd-loader";
    case "suse":
      return "sudo zypper install libvulkan_lvp libvulkan1";
    case "darwin":
      return "every Mac with Metal has one: run outside the virtual machine, or update macOS";
    case "windows":
      return "update the graphics driver: one for DirectX 12 or Vulkan is needed";
    default:
      return "install the Vulkan driver of your GPU, or Mesa's lavapipe, and the Vulkan loader";
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) || "no reason given";
}

/** The machine that this process runs on. */
export function denoHost(): Host {
  const { os } = Deno.build;
  // Mesa's Wayland client complains on stderr of a variable that only compositors need. Any absolute path silences it.
  if (os === "linux" && Deno.env.get("XDG_RUNTIME_DIR") === undefined) {
    Deno.env.set("XDG_RUNTIME_DIR", "/nonexistent");
  }
  return {
    os,
    isRoot: () => Deno.uid() === 0,
    osRelease: () => Deno.readTextFile("/etc/os-release").catch(() => ""),
    findAdapter: probe,
    async execute(program, args) {
      const env = { DEBIAN_FRONTEND: "noninteractive" };
      try {
        const { success, stderr } = await new Deno.Command(program, { args, env }).output();
        return { success, error: new TextDecoder().decode(stderr) };
      } catch (error) {
        return { success: false, error: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

/**
 * Asks in a worker: an instance of WebGPU looks for drivers once, and this thread's own must not have looked before they
 * are installed.
 */
function probe(): Promise<FoundAdapter | null> {
  const { promise, resolve, reject } = Promise.withResolvers<FoundAdapter | null>();
  const worker = new Worker(new URL("./adapter_probe.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(`Cannot look for a WebGPU adapter: ${event.message}`));
  };
  worker.postMessage(null);
  return promise.finally(() => worker.terminate());
}

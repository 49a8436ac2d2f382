/// <reference lib="deno.worker" />
/** Answers one message with what WebGPU offers; see adapter_setup.ts for why in a worker. */
import { adapterName, listAdapters } from "../gpu/device.ts";
import type { FoundAdapter } from "./adapter_setup.ts";

self.onmessage = async () => {
  const [adapter] = await listAdapters(navigator.gpu);
  const found: FoundAdapter | null = adapter
    ? { description: adapterName(adapter), f16: adapter.features.has("shader-f16") }
    : null;
  self.postMessage(found);
};

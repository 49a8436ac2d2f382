/// <reference lib="deno.worker" />
/** Answers one message with what WebGPU offers; see adapter_setup.ts for why in a worker. */
import { isSoftware, listAdapters } from "../gpu/device.ts";
import type { FoundAdapter } from "./adapter_setup.ts";

self.onmessage = async () => {
  const [adapter] = await listAdapters(navigator.gpu);
  const found: FoundAdapter = !adapter
    ? "none"
    : isSoftware(adapter) && !adapter.features.has("shader-f16")
    ? "software without f16"
    : "whole";
  self.postMessage(found);
};

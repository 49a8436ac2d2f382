/// <reference lib="deno.worker" />
/** Answers one message with whether WebGPU offers an adapter; see adapter_setup.ts for why in a worker. */
self.onmessage = async () => {
  self.postMessage(await navigator.gpu.requestAdapter() !== null);
};

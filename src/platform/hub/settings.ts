import { UserError } from "../../errors.ts";

/** Where the hub is and what may be asked of it, from the variables that Hugging Face's own tools read. */
export interface HubSettings {
  /** Base URL without a slash at the end. */
  endpoint: string;
  token: string | undefined;
  /** Whether the network must not be used. */
  offline: boolean;
}

/** Reads `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`. */
export function hubSettings(): HubSettings {
  const endpoint = Deno.env.get("HF_ENDPOINT") || "https://huggingface.co";
  if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) {
    throw new UserError(
      `Expected HF_ENDPOINT to be the http or https address of a hub, found "${endpoint}"`,
    );
  }
  const token = Deno.env.get("HF_TOKEN")?.trim() || undefined;
  if (token !== undefined && !token.startsWith("hf_")) {
    throw new UserError('Expected HF_TOKEN to begin with "hf_", found another beginning');
  }
  return {
    endpoint: endpoint.replace(/\/+$/, ""),
    token,
    offline: /^(?:1|on|yes|true)$/i.test(Deno.env.get("HF_HUB_OFFLINE") ?? ""),
  };
}

/** The folder of the cache that all of Hugging Face's tools share: `HF_HUB_CACHE`, or `hub` in `HF_HOME`. */
export function hubCachePath(): string {
  const given = Deno.env.get("HF_HUB_CACHE") || Deno.env.get("HUGGINGFACE_HUB_CACHE");
  if (given) return expandHome(given);
  const home = Deno.env.get("HF_HOME");
  if (home) return `${expandHome(home)}/hub`;
  return `${Deno.env.get("XDG_CACHE_HOME") || expandHome("~/.cache")}/huggingface/hub`;
}

function expandHome(path: string): string {
  if (!/^~(?=$|[/\\])/.test(path)) return path;
  const home = Deno.env.get("HOME") || Deno.env.get("USERPROFILE");
  if (!home) {
    throw new UserError("Expected HF_HOME or HOME to say where the hub's cache is, found neither");
  }
  return home + path.slice(1);
}

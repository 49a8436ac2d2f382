// This module is browser compatible.
import { boolean, choice, type OptionSpec, text } from "../kinds.ts";
import { ON_DEVICE } from "./commands.ts";

export const MACHINE = {
  precision: choice(
    ON_DEVICE,
    "Precision of matrix operands; auto: f16 on a GPU that has it",
    {
      default: "auto",
      choices: ["auto", "f32", "f16"],
      resume: "content",
      jobs: "server",
      shown: "unless default",
    },
  ),
  adapter: text(
    ON_DEVICE,
    "GPU, by index or part of its name; list: print them (default: hardware before software)",
    { default: null, placeholder: "NAME", resume: "free", jobs: "server", shown: "unless default" },
  ),
  engine: choice(ON_DEVICE, "WebGPU implementation", {
    default: "deno",
    choices: ["deno", "dawn"],
    resume: "free",
    jobs: "server",
    shown: "unless default",
  }),
  cache: boolean(
    ["train", "sft", "eval", "score"],
    "Use results of earlier runs from a cache; only train and sft write to it",
    { default: true, resume: "free", jobs: "server", shown: "never" },
  ),
  cacheDir: text(
    ["train", "sft", "eval", "score"],
    "Folder of the cache (default: smoldpo in the user's cache folder)",
    { default: null, placeholder: "DIR", resume: "free", jobs: "server", shown: "never" },
  ),
} satisfies Record<string, OptionSpec>;

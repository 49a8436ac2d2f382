/** Every shader through Tint, Dawn's compiler, on a device that computes nothing: f16 too, whatever the adapter has. */
import assert from "node:assert/strict";
import { loadEngine } from "../../src/platform/engine.ts";
import { lackOfDawn, unless } from "../skip.ts";

const SHADERS = new URL("../../shaders/", import.meta.url);
const TYPES = ["operand", "element", "lhs", "rhs", "result", "source"];
const CONSTANTS = {
  HEAD_SIZE: 64,
  ROWS: 8,
  LANES: 32,
  GROUPS: 2,
  MATRICES: 2,
  SQUARES: 2,
  TILE: 64,
  TURNED: 0,
  TEXTURE_WIDTH: 8192,
};
const REDUCTIONS = ["reduce.wgsl", "reduce_subgroup.wgsl", "reduce_lanes.wgsl"];
/** What stands behind kernels that use it, by a name that shows that they do. */
const SHARED: [RegExp, string][] = [
  [/\bstore_sums\(/, "tile_product.wgsl"],
  [/\bkeep_weights\(/, "attention_tile.wgsl"],
  [/\bweight_rows\(/, "lane_operands.wgsl"],
  [/\bmultiply\(/, "lane_product.wgsl"],
  [/\bstore_head\(/, "lane_head.wgsl"],
  [/\bblock0\(/, "lane_broadcast.wgsl"],
  [/\btexel\(/, "texel.wgsl"],
];

/** What a kernel's wrapper puts in front of the source: aliases, and the constants that it does not declare itself. */
function prelude(type: "f32" | "f16", code: string): string {
  const aliases = TYPES.filter((name) => !code.includes(`fn ${name}(`))
    .map((name) => `alias ${name} = ${type};`);
  const constants = Object.entries(CONSTANTS)
    .filter(([name]) => !code.includes(`const ${name} `))
    .map(([name, value]) => `const ${name} = ${value}u;`);
  return ["enable f16, subgroups;", ...aliases, ...constants, ""].join(" ");
}

Deno.test({
  ...unless(lackOfDawn, "Tint accepts every shader"),
  async fn() {
    const gpu = await loadEngine("dawn", ["backend=null"]);
    const adapter = await gpu.requestAdapter();
    const device = await adapter!.requestDevice({
      requiredFeatures: ["shader-f16", "subgroups" as GPUFeatureName],
    });
    const errorsOf = async (code: string) => {
      device.pushErrorScope("validation");
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      const error = await device.popErrorScope();
      const texts = messages.filter(({ type }) => type === "error")
        .map(({ lineNum, message }) => `${lineNum}: ${message}`);
      assert.equal(texts.length > 0, error !== null);
      return texts;
    };
    /** A kernel reduces numbers or vectors: with the type that it does not, its source has errors. */
    const leastErrors = async (prelude: string, code: string) => {
      let errors: string[] = [];
      for (const type of ["f32", "vec3<f32>", "vec4<f32>"]) {
        errors = await errorsOf(`${prelude}alias reduced = ${type}; ${code}`);
        if (errors.length === 0) break;
      }
      return errors;
    };
    const names = (await Array.fromAsync(Deno.readDir(SHADERS))).map(({ name }) => name)
      .filter((name) => name.endsWith(".wgsl"));
    assert.ok(names.length > 20, `expected the kernels, found ${names}`);
    const read = (name: string) => Deno.readTextFile(new URL(name, SHADERS));
    const reductions = await Promise.all(REDUCTIONS.map(read));
    const parts = [...REDUCTIONS, ...SHARED.map(([, name]) => name)];
    for (const name of names.filter((name) => !parts.includes(name))) {
      let code = await read(name);
      for (const [used, shared] of SHARED) {
        if (used.test(code.replaceAll(/\/\/.*/g, ""))) code += await read(shared); // comments use nothing
      }
      for (const type of ["f32", "f16"] as const) {
        for (const tail of /\breduce_(sum|max)\(/.test(code) ? reductions : [""]) {
          const errors = await leastErrors(prelude(type, code), code + tail);
          assert.deepEqual(errors, [], `${name}, ${type}`);
        }
      }
    }
    assert.match((await errorsOf("fn f() -> u32 { return 1.5; }"))[0], /^1: /);
    device.destroy();
  },
});

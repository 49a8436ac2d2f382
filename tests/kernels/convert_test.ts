import { convert } from "../../src/kernels/convert.ts";
import { unless } from "../skip.ts";
import { assertClose, lackOfF16, output, read, run, upload, values } from "./harness.ts";

Deno.test({
  ...unless(lackOfF16, "convert rounds f32 to f16 and back, odd lengths included"),
  fn: async () => {
    for (const length of [1, 7, 1025]) {
      const data = values(1, length);
      const half = output([length], "f16");
      const full = output([length]);
      run((commands) => {
        convert(commands, half, upload(data, [length]));
        convert(commands, full, half);
      });
      const expected = Float32Array.from(Float16Array.from(data));
      assertClose(await read(full), expected, { absolute: 0, relative: 2 ** -10, name: "f16" });
    }
  },
});

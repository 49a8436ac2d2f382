// matmul_forward: a linear layer without bias, with an optional residual.
//
//   y[m,n] = sum_k x[m,k] * weight[n,k]  (+ residual[m,n])
//
// Shapes    x (M, K) lhs; weight (N, K) rhs, as checkpoints store it; residual f32 and y result (M, stride), stride >= N.
//           K and stride multiples of 4. Columns N..stride of y become 0.
// Dispatch  (ceil(stride / 64), ceil(M / 64), 1): 64 threads per 64 x 64 tile of y, which divides all of SmolLM's widths. A
//           thread keeps 8 x 8 sums in registers; the operand tiles take 8 KiB of workgroup memory.
// Writes    overwrites y; sums in f32 over ascending k, so a row does not depend on its neighbours.
override RESIDUAL: bool; // add residual; where false, any f32 tensor may be bound in its place

struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<result>>;

const DEPTH = 16u; // steps of the sum per operand tile

// Operand tiles, one step of the sum per row: 64 rows of the left and 64 columns of the right operand as vec4s.
var<workgroup> left: array<array<vec4<f32>, 16>, DEPTH>;
var<workgroup> right: array<array<vec4<f32>, 16>, DEPTH>;

// 8 x 8 sums: rows 8 y .. and 8 y + 4 .., columns 4 x .. and 32 + 4 x ... Never by a loop's index, which would move them from
// registers to memory: a GPU then takes ten times as long.
struct Sums { top_low: mat4x4<f32>, top_high: mat4x4<f32>, bottom_low: mat4x4<f32>, bottom_high: mat4x4<f32> }

fn plus_outer(sum: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
  return mat4x4(
    sum[0] + rows[0] * columns,
    sum[1] + rows[1] * columns,
    sum[2] + rows[2] * columns,
    sum[3] + rows[3] * columns,
  );
}

fn add_step(sums: ptr<function, Sums>, step: u32, x: u32, y: u32) {
  let top = left[step][2u * y];
  let bottom = left[step][2u * y + 1u];
  let low = right[step][x];
  let high = right[step][x + 8u];
  (*sums).top_low = plus_outer((*sums).top_low, top, low);
  (*sums).top_high = plus_outer((*sums).top_high, top, high);
  (*sums).bottom_low = plus_outer((*sums).bottom_low, bottom, low);
  (*sums).bottom_high = plus_outer((*sums).bottom_high, bottom, high);
}

@compute @workgroup_size(64)
fn matmul_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let m0 = 64u * workgroup.y;
  let n0 = 64u * workgroup.x;
  let K4 = params.K / 4u;
  var sums: Sums;
  for (var k0 = 0u; k0 < K4; k0 += DEPTH / 4u) {
    { // four rows by four steps, turned so that a row of the tile is one step
      let r = m0 + 4u * (thread / 4u);
      let c = k0 + thread % 4u;
      var v = mat4x4<f32>();
      if (c < K4) {
        if (r < params.M) { v[0] = vec4<f32>(input[r * K4 + c]); }
        if (r + 1u < params.M) { v[1] = vec4<f32>(input[(r + 1u) * K4 + c]); }
        if (r + 2u < params.M) { v[2] = vec4<f32>(input[(r + 2u) * K4 + c]); }
        if (r + 3u < params.M) { v[3] = vec4<f32>(input[(r + 3u) * K4 + c]); }
      }
      let turned = transpose(v);
      let at = 4u * (thread % 4u);
      left[at][thread / 4u] = turned[0];
      left[at + 1u][thread / 4u] = turned[1];
      left[at + 2u][thread / 4u] = turned[2];
      left[at + 3u][thread / 4u] = turned[3];
    }
    { // four rows by four steps, turned so that a row of the tile is one step
      let r = n0 + 4u * (thread / 4u);
      let c = k0 + thread % 4u;
      var v = mat4x4<f32>();
      if (c < K4) {
        if (r < params.N) { v[0] = vec4<f32>(weight[r * K4 + c]); }
        if (r + 1u < params.N) { v[1] = vec4<f32>(weight[(r + 1u) * K4 + c]); }
        if (r + 2u < params.N) { v[2] = vec4<f32>(weight[(r + 2u) * K4 + c]); }
        if (r + 3u < params.N) { v[3] = vec4<f32>(weight[(r + 3u) * K4 + c]); }
      }
      let turned = transpose(v);
      let at = 4u * (thread % 4u);
      right[at][thread / 4u] = turned[0];
      right[at + 1u][thread / 4u] = turned[1];
      right[at + 2u][thread / 4u] = turned[2];
      right[at + 3u][thread / 4u] = turned[3];
    }
    workgroupBarrier();
    for (var step = 0u; step < DEPTH; step += 4u) { // unrolled by hand: naga guards every turn of a loop
      add_step(&sums, step, x, y);
      add_step(&sums, step + 1u, x, y);
      add_step(&sums, step + 2u, x, y);
      add_step(&sums, step + 3u, x, y);
    }
    workgroupBarrier();
  }
  let column = n0 / 4u + x;
  store(m0 + 8u * y, column, sums.top_low);
  store(m0 + 8u * y, column + 8u, sums.top_high);
  store(m0 + 8u * y + 4u, column, sums.bottom_low);
  store(m0 + 8u * y + 4u, column + 8u, sums.bottom_high);
}

// Four rows of a vec4 of the result.
fn store(m: u32, column: u32, sum: mat4x4<f32>) {
  if (column >= params.stride / 4u) { return; }
  store_row(m, column, sum[0]);
  store_row(m + 1u, column, sum[1]);
  store_row(m + 2u, column, sum[2]);
  store_row(m + 3u, column, sum[3]);
}

fn store_row(m: u32, column: u32, sum: vec4<f32>) {
  if (m >= params.M) { return; }
  let at = m * (params.stride / 4u) + column;
  var value = sum;
  if (RESIDUAL) { value += residual[at]; }
  output[at] = vec4<result>(value);
}

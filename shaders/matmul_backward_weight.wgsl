// matmul_backward_weight: the gradient of matmul_forward with respect to its weight.
//
//   forward  y[m,n]       = sum_k x[m,k] * weight[n,k]
//   here     dweight[n,k] += sum_m dy[m,n] * x[m,k]
//
// Shapes    dy (M, stride) lhs, stride >= N; x (M, K) rhs; dweight (N, K) f32. K and stride multiples of 4.
// Dispatch  (ceil(K / 64), ceil(N / 64), 1): 64 threads per 64 x 64 tile of dweight, 8 x 8 sums a thread.
// Writes    accumulates into dweight; sums in f32 over ascending m.
struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read_write> dweight: array<vec4<f32>>;

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
fn matmul_backward_weight(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let n0 = 16u * workgroup.y;
  let k0 = 16u * workgroup.x;
  let K4 = params.K / 4u;
  let stride4 = params.stride / 4u;
  var sums: Sums;
  for (var m0 = 0u; m0 < params.M; m0 += DEPTH) {
    for (var i = y; i < DEPTH; i += 8u) {
      let r = m0 + i;
      for (var j = x; j < 16u; j += 8u) {
        let c = n0 + j;
        var v = vec4<f32>();
        if (r < params.M && c < stride4) { v = vec4<f32>(dy[r * stride4 + c]); }
        left[i][j] = v;
      }
    }
    for (var i = y; i < DEPTH; i += 8u) {
      let r = m0 + i;
      for (var j = x; j < 16u; j += 8u) {
        let c = k0 + j;
        var v = vec4<f32>();
        if (r < params.M && c < K4) { v = vec4<f32>(input[r * K4 + c]); }
        right[i][j] = v;
      }
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
  let n = 4u * n0 + 8u * y;
  store(n, k0 + x, sums.top_low);
  store(n, k0 + x + 8u, sums.top_high);
  store(n + 4u, k0 + x, sums.bottom_low);
  store(n + 4u, k0 + x + 8u, sums.bottom_high);
}

// Four rows of a vec4 of the result.
fn store(n: u32, column: u32, sum: mat4x4<f32>) {
  if (column >= params.K / 4u) { return; }
  store_row(n, column, sum[0]);
  store_row(n + 1u, column, sum[1]);
  store_row(n + 2u, column, sum[2]);
  store_row(n + 3u, column, sum[3]);
}

fn store_row(n: u32, column: u32, sum: vec4<f32>) {
  if (n < params.N) { dweight[n * (params.K / 4u) + column] += sum; }
}

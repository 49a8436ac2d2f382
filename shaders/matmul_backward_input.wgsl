// matmul_backward_input: the gradient of matmul_forward with respect to its input.
//
//   forward  y[m,n]  = sum_k x[m,k] * weight[n,k]
//   here     dx[m,k] = sum_n dy[m,n] * weight[n,k]
//
// Shapes    dy (M, stride) lhs, stride >= N, columns N..stride finite; weight (N, K) rhs; dx (M, K) result. K and stride
//           multiples of 4.
// Dispatch  (ceil(K / 64), ceil(M / 64), 1): 64 threads per 64 x 64 tile of dx, 8 x 8 sums a thread.
// Writes    overwrites dx; sums in f32 over ascending n.
struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<result>>;

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
fn matmul_backward_input(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let m0 = 64u * workgroup.y;
  let k0 = 16u * workgroup.x;
  let K4 = params.K / 4u;
  let stride4 = params.stride / 4u;
  var sums: Sums;
  for (var n0 = 0u; n0 < params.N; n0 += DEPTH) {
    { // four rows by four steps, turned so that a row of the tile is one step
      let r = m0 + 4u * (thread / 4u);
      let c = n0 / 4u + thread % 4u;
      var v = mat4x4<f32>();
      if (c < stride4) {
        if (r < params.M) { v[0] = vec4<f32>(dy[r * stride4 + c]); }
        if (r + 1u < params.M) { v[1] = vec4<f32>(dy[(r + 1u) * stride4 + c]); }
        if (r + 2u < params.M) { v[2] = vec4<f32>(dy[(r + 2u) * stride4 + c]); }
        if (r + 3u < params.M) { v[3] = vec4<f32>(dy[(r + 3u) * stride4 + c]); }
      }
      let turned = transpose(v);
      let at = 4u * (thread % 4u);
      left[at][thread / 4u] = turned[0];
      left[at + 1u][thread / 4u] = turned[1];
      left[at + 2u][thread / 4u] = turned[2];
      left[at + 3u][thread / 4u] = turned[3];
    }
    for (var i = y; i < DEPTH; i += 8u) {
      let r = n0 + i;
      for (var j = x; j < 16u; j += 8u) {
        let c = k0 + j;
        var v = vec4<f32>();
        if (r < params.N && c < K4) { v = vec4<f32>(weight[r * K4 + c]); }
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
  let m = m0 + 8u * y;
  store(m, k0 + x, sums.top_low);
  store(m, k0 + x + 8u, sums.top_high);
  store(m + 4u, k0 + x, sums.bottom_low);
  store(m + 4u, k0 + x + 8u, sums.bottom_high);
}

// Four rows of a vec4 of the result.
fn store(m: u32, column: u32, sum: mat4x4<f32>) {
  if (column >= params.K / 4u) { return; }
  store_row(m, column, sum[0]);
  store_row(m + 1u, column, sum[1]);
  store_row(m + 2u, column, sum[2]);
  store_row(m + 3u, column, sum[3]);
}

fn store_row(m: u32, column: u32, sum: vec4<f32>) {
  if (m < params.M) { dx[m * (params.K / 4u) + column] = vec4<result>(sum); }
}

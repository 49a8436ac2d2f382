// matvec_forward: a linear layer without bias for few rows, with an optional residual.
//
//   y[m,n] = sum_k x[m,k] * weight[n,k]  (+ residual[m,n])
//
// A GEMM's tile would stand almost empty here. Instead LANES threads share the sum over k of four columns, and every weight
// is read once for ROWS rows.
//
// Shapes    x (M, K) lhs; weight (N, K) rhs, as checkpoints store it; residual f32 and y result (M, stride), stride >= N.
//           K and stride multiples of 4. Columns N..stride of y become 0.
// Dispatch  (ceil(stride / 4 / (WORKGROUP / LANES)), ceil(M / ROWS), 1). LANES a power of two, at least ROWS; ROWS at most 8.
// Writes    overwrites y; sums in f32 in a fixed order, so a row does not depend on its neighbours.
override WORKGROUP: u32; // threads per workgroup, a multiple of LANES
override RESIDUAL: bool; // add residual; where false, any f32 tensor may be bound in its place

struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<result>>;

var<workgroup> partials: array<array<vec4<f32>, ROWS>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn matvec_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let column4 = workgroup.x * (WORKGROUP / LANES) + thread / LANES;
  let n = 4u * column4;
  let m0 = ROWS * workgroup.y;
  let K4 = params.K / 4u;
  var sums: array<vec4<f32>, ROWS>;
  for (var k = lane; k < K4; k += LANES) {
    var w: mat4x4<f32>; // four steps of the sum, by column
    if (n < params.N) { w[0] = vec4<f32>(weight[n * K4 + k]); }
    if (n + 1u < params.N) { w[1] = vec4<f32>(weight[(n + 1u) * K4 + k]); }
    if (n + 2u < params.N) { w[2] = vec4<f32>(weight[(n + 2u) * K4 + k]); }
    if (n + 3u < params.N) { w[3] = vec4<f32>(weight[(n + 3u) * K4 + k]); }
    let x = m0 * K4 + k; // unrolled by hand: naga guards every turn of a loop; rows from M on read anything, and go nowhere
    sums[0] += vec4<f32>(input[x]) * w;
    if (ROWS > 1u) { sums[1u % ROWS] += vec4<f32>(input[x + K4]) * w; }
    if (ROWS > 2u) {
      sums[2u % ROWS] += vec4<f32>(input[x + 2u * K4]) * w;
      sums[3u % ROWS] += vec4<f32>(input[x + 3u * K4]) * w;
    }
    if (ROWS > 4u) {
      sums[4u % ROWS] += vec4<f32>(input[x + 4u * K4]) * w;
      sums[5u % ROWS] += vec4<f32>(input[x + 5u * K4]) * w;
      sums[6u % ROWS] += vec4<f32>(input[x + 6u * K4]) * w;
      sums[7u % ROWS] += vec4<f32>(input[x + 7u * K4]) * w;
    }
  }

  partials[thread] = sums;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) {
      for (var i = 0u; i < ROWS; i++) { partials[thread][i] += partials[thread + stride][i]; }
    }
    workgroupBarrier();
  }
  let stride4 = params.stride / 4u;
  let m = m0 + lane;
  if (lane >= ROWS || m >= params.M || column4 >= stride4) { return; }
  var value = partials[thread - lane][lane];
  if (RESIDUAL) { value += residual[m * stride4 + column4]; }
  output[m * stride4 + column4] = vec4<result>(value);
}

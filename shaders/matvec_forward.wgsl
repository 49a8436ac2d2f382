// matvec_forward: a linear layer for few rows, with what stands before and behind it in a decoder layer.
//
//   h[m,k] = x[m,k], or x[m,k] * rstd[m] * gain[k],  rstd[m] = 1 / sqrt(mean_k(x[m,k]^2) + eps)    NORM
//   s[m,n] = sum_k h[m,k] * weight[n,k], or that + bias[n]                                         BIAS
//   y[m,n] = s[m,n], or s[m,n] + residual[m,n], or silu(s[m,n]) * s[m,n + N]                       RESIDUAL, MATRICES 2
//
// A GEMM's tile would stand almost empty here. Instead LANES threads share the sum over k of four columns, and every weight
// is read once for ROWS rows. Decoding waits for launches rather than for arithmetic, hence the fusion: rstd is one number
// per row, so it is a factor of the finished sum, and the threads that share a sum see the whole row on the way.
//
// Shapes    x (M, K) lhs; weight (MATRICES N, K) rhs, as checkpoints store it, all gates before all ups; bias f32 (MATRICES
//           N), N a multiple of 4 then; extra f32: residual (M, stride) or gain (K); y result (M, stride), stride >= N. K and stride multiples of 4. Columns N..stride of y
//           become 0.
// Dispatch  (ceil(stride / 4 / GROUPS), ceil(M / ROWS), 1): GROUPS * LANES threads. LANES a multiple of 8, at least ROWS; ROWS
//           at most 8; SQUARES is ceil(ROWS / 4) with NORM, else 0.
// Writes    overwrites y; sums in f32 in a fixed order, so a row does not depend on its neighbours.
// Source    Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; Shazeer 2020, arXiv:2002.05202, eq. 6.
override NORM: bool; // normalize the rows of x first; extra is the gain
override BIAS: bool; // add bias; without it, any tensor may be bound in its place
override RESIDUAL: bool; // add extra; without it and NORM, so too

struct Params { M: u32, N: u32, K: u32, stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<result>>;

const WORKGROUP = GROUPS * LANES; // threads that share a sum, and those of other columns
const FIRST_SQUARE = ROWS * MATRICES;
const SUMS = FIRST_SQUARE + SQUARES; // four columns of a row each, by matrix; then the squares of four rows each

var<workgroup> partials: array<array<vec4<f32>, SUMS>, WORKGROUP>;
var<workgroup> fourths: array<array<vec4<f32>, 4u * SUMS>, GROUPS>;

// Four steps of the sum, of four columns: a column of the matrix is a step.
fn steps(n: u32, k: u32) -> mat4x4<f32> {
  let K4 = params.K / 4u;
  let end = MATRICES * params.N;
  var w: mat4x4<f32>;
  if (n < end) { w[0] = vec4<f32>(weight[n * K4 + k]); }
  if (n + 1u < end) { w[1] = vec4<f32>(weight[(n + 1u) * K4 + k]); }
  if (n + 2u < end) { w[2] = vec4<f32>(weight[(n + 2u) * K4 + k]); }
  if (n + 3u < end) { w[3] = vec4<f32>(weight[(n + 3u) * K4 + k]); }
  return transpose(w);
}

// What every row meets at one turn of the loop: the vec4 of x to read, its gain, and the weights.
struct Step { at: u32, gain: vec4<f32>, first: mat4x4<f32>, second: mat4x4<f32> }

// By fma, for a row must have the same bits in every variant: of * and + a compiler may make one rounding here and two there.
fn plus_product(sum: vec4<f32>, h: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
  return fma(vec4(h[3]), w[3], fma(vec4(h[2]), w[2], fma(vec4(h[1]), w[1], fma(vec4(h[0]), w[0], sum))));
}

// Rows from M on read anything, and go nowhere.
fn add_row(sums: ptr<function, array<vec4<f32>, SUMS>>, row: u32, step: Step) {
  var h = vec4<f32>(input[step.at + row * (params.K / 4u)]);
  if (NORM) {
    let squares = &(*sums)[(FIRST_SQUARE + row / 4u) % SUMS];
    let square = (*squares)[row % 4u];
    (*squares)[row % 4u] = fma(h[3], h[3], fma(h[2], h[2], fma(h[1], h[1], fma(h[0], h[0], square))));
    h *= step.gain;
  }
  (*sums)[row] = plus_product((*sums)[row], h, step.first);
  if (MATRICES > 1u) {
    let other = (ROWS + row) % SUMS;
    (*sums)[other] = plus_product((*sums)[other], h, step.second);
  }
}

@compute @workgroup_size(WORKGROUP)
fn matvec_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let column4 = (workgroup.y * workgroups.x + workgroup.x) * GROUPS + thread / LANES;
  let n = 4u * column4;
  let m0 = ROWS * workgroup.z;
  let K4 = params.K / 4u;
  var sums: array<vec4<f32>, SUMS>;
  for (var k = lane; k < K4; k += LANES) {
    var step: Step;
    step.at = m0 * K4 + k;
    step.first = steps(n, k);
    if (MATRICES > 1u) { step.second = steps(params.N + n, k); }
    if (NORM) { step.gain = extra[k]; }
    add_row(&sums, 0u, step); // unrolled by hand: naga guards every turn of a loop
    if (ROWS > 1u) { add_row(&sums, 1u % ROWS, step); }
    if (ROWS > 2u) {
      add_row(&sums, 2u % ROWS, step);
      add_row(&sums, 3u % ROWS, step);
    }
    if (ROWS > 4u) {
      add_row(&sums, 4u % ROWS, step);
      add_row(&sums, 5u % ROWS, step);
      add_row(&sums, 6u % ROWS, step);
      add_row(&sums, 7u % ROWS, step);
    }
  }

  // Two barriers: every thread adds a fourth of the lanes, every fourth one, of some of the sums; then the fourths are added.
  partials[thread] = sums;
  workgroupBarrier();
  let group = thread / LANES;
  for (var i = lane; i < 4u * SUMS; i += LANES) {
    let fourth = i / SUMS;
    var sum = vec4(0.0);
    for (var other = group * LANES + fourth; other < (group + 1u) * LANES; other += 8u) {
      sum += partials[other][i % SUMS];
      sum += partials[other + 4u][i % SUMS];
    }
    fourths[group][i] = sum;
  }
  workgroupBarrier();
  let stride4 = params.stride / 4u;
  let m = m0 + lane;
  if (lane >= ROWS || m >= params.M || column4 >= stride4) { return; }
  var scale = 1.0;
  if (NORM) {
    let square = whole(group, (FIRST_SQUARE + lane / 4u) % SUMS)[lane % 4u];
    scale = 1.0 / sqrt(square / f32(params.K) + params.eps);
  }
  var value = whole(group, lane) * scale;
  if (BIAS) { value += bias[column4]; }
  if (MATRICES > 1u) {
    let silu = value / (1.0 + exp(-value));
    value = silu * whole(group, (ROWS + lane) % SUMS) * scale;
    if (BIAS) { value += silu * bias[params.N / 4u + column4]; }
  }
  if (RESIDUAL) { value += extra[m * stride4 + column4]; }
  output[m * stride4 + column4] = vec4<result>(value);
}

fn whole(group: u32, i: u32) -> vec4<f32> {
  return fourths[group][i] + fourths[group][i + SUMS] + fourths[group][i + 2u * SUMS] +
    fourths[group][i + 3u * SUMS];
}

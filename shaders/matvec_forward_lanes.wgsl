// matvec_forward_lanes: matvec_forward for software adapters; see lane_broadcast.wgsl.
//
//   y[m,n] = sum_k h[m,k] * weight[n,k]  (+ bias[n])  (+ residual[m,n]),  h = x, or x * gain / rms(x) if normalized
//   gated: silu(y[m,n]) * y[m,N+n] from a weight of 2N rows
//
// Shapes    as matvec_forward; weight and gain as textures. x stays a buffer: a turn has one load of it for each lane, and a
//           texture would have to be copied for every product.
// Dispatch  ceil(stride / 4 LANES) in a grid of two dimensions, by ceil(M / ROWS): one subgroup; a lane has four columns of
//           ROWS rows: 1, 4 or 8.
// Writes    overwrites y. A row's sums have the order of matmul_forward's, whatever ROWS is.
override NORM: bool; // normalize the rows of x
override BIAS: bool; // add bias
override RESIDUAL: bool; // add residual

struct Params { M: u32, N: u32, K: u32, stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var weight: weight_texels;
@group(0) @binding(3) var gain: gain_texels;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4<result>>;

const ITEMS = 2u * ROWS; // a turn has two steps of four k

// Of four rows, four columns each; of gates and ups where there are both.
struct Sums { first: mat4x4<f32>, second: mat4x4<f32> }

fn K4() -> u32 { return params.K / 4u; }

// Item i is a row's vec4 of a step, ROWS rows of the first step, then of the second; 0 outside.
fn load_item(i: u32, m0: u32, k4: u32) -> vec4<f32> {
  let m = min(m0 + i % ROWS, params.M - 1u);
  let k = k4 + i / ROWS;
  let x = vec4<f32>(input[m * K4() + min(k, K4() - 1u)]);
  return select(vec4(0.0), x, k < K4());
}

fn gain_item(i: u32, k4: u32) -> vec4<f32> {
  return textureLoad(gain, texel(min(k4 + i / ROWS, K4() - 1u)));
}

// What the lanes load of x at one turn.
fn load_items(m0: u32, k4: u32, lane: u32) -> Items {
  var x: Items; // unrolled by hand: naga guards every turn of a loop
  x[0] = load_item(lane, m0, k4);
  if (1u * LANES < ITEMS) { x[1] = load_item(1u * LANES + lane, m0, k4); }
  if (2u * LANES < ITEMS) { x[2] = load_item(2u * LANES + lane, m0, k4); }
  if (3u * LANES < ITEMS) { x[3] = load_item(3u * LANES + lane, m0, k4); }
  return x;
}

fn times_gain(x: Items, k4: u32, lane: u32) -> Items {
  var h = x;
  h[0] *= gain_item(lane, k4);
  if (1u * LANES < ITEMS) { h[1] *= gain_item(1u * LANES + lane, k4); }
  if (2u * LANES < ITEMS) { h[2] *= gain_item(2u * LANES + lane, k4); }
  if (3u * LANES < ITEMS) { h[3] *= gain_item(3u * LANES + lane, k4); }
  return h;
}

fn add_squares(sums: Items, x: Items) -> Items {
  var squares = sums;
  squares[0] = fma(x[0], x[0], sums[0]);
  if (1u * LANES < ITEMS) { squares[1] = fma(x[1], x[1], sums[1]); }
  if (2u * LANES < ITEMS) { squares[2] = fma(x[2], x[2], sums[2]); }
  if (3u * LANES < ITEMS) { squares[3] = fma(x[3], x[3], sums[3]); }
  return squares;
}

// Four steps by four columns from n on, 0 in those from `end` on; anything in steps from K on, where x is 0.
fn right_block(n: u32, end: u32, k4: u32) -> mat4x4<f32> {
  return transpose(mat4x4(
    weight_steps(n, end, k4),
    weight_steps(n + 1u, end, k4),
    weight_steps(n + 2u, end, k4),
    weight_steps(n + 3u, end, k4),
  ));
}

fn weight_steps(n: u32, end: u32, k4: u32) -> vec4<f32> {
  let steps = textureLoad(weight, texel(min(n, end - 1u) * K4() + min(k4, K4() - 1u)));
  return select(vec4(0.0), steps, n < end);
}

fn add_step(sums: Sums, rows: mat4x4<f32>, first: mat4x4<f32>, second: mat4x4<f32>) -> Sums {
  var sum = sums;
  sum.first = add_product(sums.first, rows, first);
  if (MATRICES > 1u) { sum.second = add_product(sums.second, rows, second); }
  return sum;
}

// Of one row.
struct RowSums { first: vec4<f32>, second: vec4<f32>, even: vec4<f32>, odd: vec4<f32> }

// Two steps, an even one first.
fn add_two_steps(sums: RowSums, x: mat2x4<f32>, h: mat2x4<f32>, n: u32, k4: u32) -> RowSums {
  var sum = sums;
  sum.first = add_steps(sum.first, h[0], right_block(n, params.N, k4));
  sum.first = add_steps(sum.first, h[1], right_block(n, params.N, k4 + 1u));
  if (MATRICES > 1u) {
    sum.second = add_steps(sum.second, h[0], right_block(params.N + n, 2u * params.N, k4));
    sum.second = add_steps(sum.second, h[1], right_block(params.N + n, 2u * params.N, k4 + 1u));
  }
  if (NORM) {
    sum.even = fma(x[0], x[0], sum.even);
    sum.odd = fma(x[1], x[1], sum.odd);
  }
  return sum;
}

fn add_four_steps(sums: RowSums, x: mat4x4<f32>, h: mat4x4<f32>, n: u32, k4: u32) -> RowSums {
  let two = add_two_steps(sums, mat2x4(x[0], x[1]), mat2x4(h[0], h[1]), n, k4);
  return add_two_steps(two, mat2x4(x[2], x[3]), mat2x4(h[2], h[3]), n, k4 + 2u);
}

// One row alone: a turn has as many steps as there are lanes, and each lane loads one of them.
fn multiply_row(m: u32, column4: u32, lane: u32) {
  let n = 4u * column4;
  var sum: RowSums;
  for (var k4 = 0u; k4 < K4(); k4 += LANES) {
    let k = k4 + lane;
    let loaded = vec4<f32>(input[m * K4() + min(k, K4() - 1u)]);
    var x: Items;
    x[0] = select(vec4(0.0), loaded, k < K4());
    var h = x;
    if (NORM) { h[0] *= textureLoad(gain, texel(min(k, K4() - 1u))); }
    sum = add_four_steps(sum, block0(x), block0(h), n, k4);
    if (LANES > 4u) { sum = add_four_steps(sum, block1(x), block1(h), n, k4 + 4u); }
  }
  finish_row(m, column4, sum.first, sum.second, sum.even + sum.odd);
}

fn multiply_rows(m0: u32, column4: u32, lane: u32) {
  let n = 4u * column4;
  var r0: Sums;
  var r4: Sums;
  var squares: Items;
  for (var k4 = 0u; k4 < K4(); k4 += 2u) {
    var x = load_items(m0, k4, lane);
    if (NORM) {
      squares = add_squares(squares, x);
      x = times_gain(x, k4, lane);
    }
    let first = right_block(n, params.N, k4);
    let next = right_block(n, params.N, k4 + 1u);
    var ups: mat4x4<f32>;
    var next_ups: mat4x4<f32>;
    if (MATRICES > 1u) {
      ups = right_block(params.N + n, 2u * params.N, k4);
      next_ups = right_block(params.N + n, 2u * params.N, k4 + 1u);
    }
    r0 = add_step(r0, block0(x), first, ups);
    if (ROWS == 4u) {
      r0 = add_step(r0, block1(x), next, next_ups);
    } else {
      r4 = add_step(r4, block1(x), first, ups);
      r0 = add_step(r0, block2(x), next, next_ups);
      r4 = add_step(r4, block3(x), next, next_ups);
    }
  }
  if (ROWS == 4u) {
    finish_rows(m0, column4, r0, block0(squares), block1(squares));
  } else {
    finish_rows(m0, column4, r0, block0(squares), block2(squares));
    finish_rows(m0 + 4u, column4, r4, block1(squares), block3(squares));
  }
}

@compute @workgroup_size(LANES)
fn matvec_forward_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let column4 = (workgroup.y * workgroups.x + workgroup.x) * LANES + lane;
  let m0 = ROWS * workgroup.z;
  if (ROWS == 1u) { multiply_row(m0, column4, lane); } else { multiply_rows(m0, column4, lane); }
}

// Squares of four rows come in two parts: those of even steps, and those of odd ones.
fn finish_rows(m: u32, column4: u32, sums: Sums, even: mat4x4<f32>, odd: mat4x4<f32>) {
  finish_row(m, column4, sums.first[0], sums.second[0], even[0] + odd[0]);
  finish_row(m + 1u, column4, sums.first[1], sums.second[1], even[1] + odd[1]);
  finish_row(m + 2u, column4, sums.first[2], sums.second[2], even[2] + odd[2]);
  finish_row(m + 3u, column4, sums.first[3], sums.second[3], even[3] + odd[3]);
}

fn finish_row(m: u32, column4: u32, first: vec4<f32>, second: vec4<f32>, squares: vec4<f32>) {
  if (m >= params.M || column4 >= params.stride / 4u) { return; }
  var scale = 1.0;
  if (NORM) {
    let square = (squares.x + squares.y) + (squares.z + squares.w);
    scale = 1.0 / sqrt(square / f32(params.K) + params.eps);
  }
  var value = first * scale;
  if (BIAS) { value += bias[column4]; }
  if (MATRICES > 1u) {
    var up = second * scale;
    if (BIAS) { up += bias[params.N / 4u + column4]; }
    value = value / (1.0 + exp(-value)) * up;
  }
  let at = m * (params.stride / 4u) + column4;
  if (RESIDUAL) { value += residual[at]; }
  output[at] = vec4<result>(value);
}

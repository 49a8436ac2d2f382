// lane_head: query, key and value heads in the registers of lanes, for the attention kernels of software adapters. No kernel of
// its own: it stands behind them, and lane_broadcast behind it.
//
// A workgroup is one subgroup. A lane has rows of its own; the row that they all meet next is loaded together. A kernel has
// load(source, i), for vec4 i of one of its inputs, and store(i, value), for vec4 i of its result.
const HS4 = HEAD_SIZE / 4u;
const WIDE = HEAD_SIZE > 64u; // a lane has half as many rows then: the code of all would take seconds to compile
const BLOCKS = (HS4 + 3u) / 4u;

// The columns of matrix b are the head's vec4s 4 b to 4 b + 3; 0 from HS4 on.
struct Head {
  m0: mat4x4<f32>,
  m1: mat4x4<f32>,
  m2: mat4x4<f32>,
  m3: mat4x4<f32>,
  m4: mat4x4<f32>,
  m5: mat4x4<f32>,
  m6: mat4x4<f32>,
  m7: mat4x4<f32>,
}

fn row_stride() -> u32 { return (params.NH + 2u * params.NKV) * HS4; }

// Vec4 c of the head at vec4 `at`.
fn part(source: u32, at: u32, c: u32) -> vec4<f32> {
  return select(vec4(0.0), load(source, at + min(c, HS4 - 1u)), c < HS4);
}

// The head at vec4 `at`, another one in each lane.
fn own_head(source: u32, at: u32) -> Head {
  var head: Head;
  head.m0 = own_block(source, at, 0u);
  if (BLOCKS > 1u) { head.m1 = own_block(source, at, 4u); }
  if (BLOCKS > 2u) { head.m2 = own_block(source, at, 8u); }
  if (BLOCKS > 3u) { head.m3 = own_block(source, at, 12u); }
  if (BLOCKS > 4u) { head.m4 = own_block(source, at, 16u); }
  if (BLOCKS > 5u) { head.m5 = own_block(source, at, 20u); }
  if (BLOCKS > 6u) { head.m6 = own_block(source, at, 24u); }
  if (BLOCKS > 7u) { head.m7 = own_block(source, at, 28u); }
  return head;
}

fn own_block(source: u32, at: u32, c: u32) -> mat4x4<f32> {
  return mat4x4(
    part(source, at, c),
    part(source, at, c + 1u),
    part(source, at, c + 2u),
    part(source, at, c + 3u),
  );
}

// The head at vec4 `at`, the same in all lanes, who load it together.
fn shared_head(source: u32, at: u32, lane: u32) -> Head {
  var x: Items; // unrolled by hand: naga guards every turn of a loop
  x[0] = part(source, at, lane);
  if (1u * LANES < HS4) { x[1] = part(source, at, 1u * LANES + lane); }
  if (2u * LANES < HS4) { x[2] = part(source, at, 2u * LANES + lane); }
  if (3u * LANES < HS4) { x[3] = part(source, at, 3u * LANES + lane); }
  if (4u * LANES < HS4) { x[4] = part(source, at, 4u * LANES + lane); }
  if (5u * LANES < HS4) { x[5] = part(source, at, 5u * LANES + lane); }
  if (6u * LANES < HS4) { x[6] = part(source, at, 6u * LANES + lane); }
  if (7u * LANES < HS4) { x[7] = part(source, at, 7u * LANES + lane); }
  var head: Head;
  head.m0 = block0(x);
  if (BLOCKS > 1u) { head.m1 = block1(x); }
  if (BLOCKS > 2u) { head.m2 = block2(x); }
  if (BLOCKS > 3u) { head.m3 = block3(x); }
  if (BLOCKS > 4u) { head.m4 = block4(x); }
  if (BLOCKS > 5u) { head.m5 = block5(x); }
  if (BLOCKS > 6u) { head.m6 = block6(x); }
  if (BLOCKS > 7u) { head.m7 = block7(x); }
  return head;
}

fn dot_heads(a: Head, b: Head) -> f32 {
  var sum = vec4(0.0);
  sum = add_products(sum, a.m0, b.m0);
  if (BLOCKS > 1u) { sum = add_products(sum, a.m1, b.m1); }
  if (BLOCKS > 2u) { sum = add_products(sum, a.m2, b.m2); }
  if (BLOCKS > 3u) { sum = add_products(sum, a.m3, b.m3); }
  if (BLOCKS > 4u) { sum = add_products(sum, a.m4, b.m4); }
  if (BLOCKS > 5u) { sum = add_products(sum, a.m5, b.m5); }
  if (BLOCKS > 6u) { sum = add_products(sum, a.m6, b.m6); }
  if (BLOCKS > 7u) { sum = add_products(sum, a.m7, b.m7); }
  return (sum.x + sum.y) + (sum.z + sum.w);
}

fn add_products(sum: vec4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> vec4<f32> {
  return fma(a[3], b[3], fma(a[2], b[2], fma(a[1], b[1], fma(a[0], b[0], sum))));
}

// head + weight * x
fn add_head(head: Head, weight: f32, x: Head) -> Head {
  var sum: Head;
  sum.m0 = add_weighted(head.m0, weight, x.m0);
  if (BLOCKS > 1u) { sum.m1 = add_weighted(head.m1, weight, x.m1); }
  if (BLOCKS > 2u) { sum.m2 = add_weighted(head.m2, weight, x.m2); }
  if (BLOCKS > 3u) { sum.m3 = add_weighted(head.m3, weight, x.m3); }
  if (BLOCKS > 4u) { sum.m4 = add_weighted(head.m4, weight, x.m4); }
  if (BLOCKS > 5u) { sum.m5 = add_weighted(head.m5, weight, x.m5); }
  if (BLOCKS > 6u) { sum.m6 = add_weighted(head.m6, weight, x.m6); }
  if (BLOCKS > 7u) { sum.m7 = add_weighted(head.m7, weight, x.m7); }
  return sum;
}

fn add_weighted(sum: mat4x4<f32>, weight: f32, x: mat4x4<f32>) -> mat4x4<f32> {
  let w = vec4(weight);
  return mat4x4(fma(w, x[0], sum[0]), fma(w, x[1], sum[1]), fma(w, x[2], sum[2]), fma(w, x[3], sum[3]));
}

fn scale_head(head: Head, by: f32) -> Head {
  var scaled: Head;
  scaled.m0 = head.m0 * by;
  if (BLOCKS > 1u) { scaled.m1 = head.m1 * by; }
  if (BLOCKS > 2u) { scaled.m2 = head.m2 * by; }
  if (BLOCKS > 3u) { scaled.m3 = head.m3 * by; }
  if (BLOCKS > 4u) { scaled.m4 = head.m4 * by; }
  if (BLOCKS > 5u) { scaled.m5 = head.m5 * by; }
  if (BLOCKS > 6u) { scaled.m6 = head.m6 * by; }
  if (BLOCKS > 7u) { scaled.m7 = head.m7 * by; }
  return scaled;
}

fn store_head(at: u32, head: Head) {
  store_block(at, 0u, head.m0);
  if (BLOCKS > 1u) { store_block(at, 4u, head.m1); }
  if (BLOCKS > 2u) { store_block(at, 8u, head.m2); }
  if (BLOCKS > 3u) { store_block(at, 12u, head.m3); }
  if (BLOCKS > 4u) { store_block(at, 16u, head.m4); }
  if (BLOCKS > 5u) { store_block(at, 20u, head.m5); }
  if (BLOCKS > 6u) { store_block(at, 24u, head.m6); }
  if (BLOCKS > 7u) { store_block(at, 28u, head.m7); }
}

fn store_block(at: u32, c: u32, block: mat4x4<f32>) {
  store(at + c, block[0]);
  if (c + 1u < HS4) { store(at + c + 1u, block[1]); }
  if (c + 2u < HS4) { store(at + c + 2u, block[2]); }
  if (c + 3u < HS4) { store(at + c + 3u, block[3]); }
}

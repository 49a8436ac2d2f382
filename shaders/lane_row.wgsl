// lane_row: one row of matvec_forward_lanes, by its right_block and finish_row. No kernel of its own: it stands behind that.

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

// A turn has as many steps as there are lanes, and each lane loads one of them.
fn multiply(m: u32, column4: u32, lane: u32) {
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

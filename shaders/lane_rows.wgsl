// lane_rows: 4 or 8 rows of matvec_forward_lanes, by its right_block and finish_row. No kernel of its own: it stands behind that.

const ITEMS = 2u * ROWS; // a turn has two steps of four k

// Of four rows, four columns each; of gates and ups where there are both.
struct Sums { first: mat4x4<f32>, second: mat4x4<f32> }

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

fn add_step(sums: Sums, rows: mat4x4<f32>, first: mat4x4<f32>, second: mat4x4<f32>) -> Sums {
  var sum = sums;
  sum.first = add_product(sums.first, rows, first);
  if (MATRICES > 1u) { sum.second = add_product(sums.second, rows, second); }
  return sum;
}

fn multiply(m0: u32, column4: u32, lane: u32) {
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

// Squares of four rows come in two parts: those of even steps, and those of odd ones.
fn finish_rows(m: u32, column4: u32, sums: Sums, even: mat4x4<f32>, odd: mat4x4<f32>) {
  finish_row(m, column4, sums.first[0], sums.second[0], even[0] + odd[0]);
  finish_row(m + 1u, column4, sums.first[1], sums.second[1], even[1] + odd[1]);
  finish_row(m + 2u, column4, sums.first[2], sums.second[2], even[2] + odd[2]);
  finish_row(m + 3u, column4, sums.first[3], sums.second[3], even[3] + odd[3]);
}

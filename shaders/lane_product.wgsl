// lane_product: what the matrix products of software adapters share, as tile_product is for others. No kernel of its own: it
// stands behind them, and lane_broadcast behind it.
//
//   sums[r,c] += sum_s left[s,r] * right[s,c]    four steps s at a time
//
// A workgroup is one subgroup. A lane has twice four columns of the result for all 24 rows; what it needs of the left operand,
// the lanes load together. A sum has the order, and the bits, of tile_product's.
//
// A kernel has load_item(row, step / 4) or, where it reads four rows of a step, is TURNED; right_block(step / 4, column / 4),
// for the four columns at column4 and for the four at high_column4(column4); and
// store(row, column4, low, high), which is called from the last row to the first and takes rows that are not there: it
// writes them where a row follows. A branch for each costs more than all of the rest, to compile and to run.

// Four rows by the lane's columns.
struct Rows { low: mat4x4<f32>, high: mat4x4<f32> }

fn add_rows(sum: Rows, block: mat4x4<f32>, low: mat4x4<f32>, high: mat4x4<f32>) -> Rows {
  var rows = block;
  if (TURNED == 1u) { rows = transpose(block); }
  return Rows(add_product(sum.low, rows, low), add_product(sum.high, rows, high));
}

const ITEMS = 24u;

// Of the left operand, what the lanes load together at one turn.
fn load_items(s4: u32, lane: u32) -> Items {
  var x: Items; // unrolled by hand: naga guards every turn of a loop
  x[0] = load_item(lane, s4);
  if (1u * LANES < ITEMS) { x[1] = load_item(1u * LANES + lane, s4); }
  if (2u * LANES < ITEMS) { x[2] = load_item(2u * LANES + lane, s4); }
  if (3u * LANES < ITEMS) { x[3] = load_item(3u * LANES + lane, s4); }
  if (4u * LANES < ITEMS) { x[4] = load_item(4u * LANES + lane, s4); }
  if (5u * LANES < ITEMS) { x[5] = load_item(5u * LANES + lane, s4); }
  return x;
}

// The product of the rows with the lane's columns, over the steps up to 4 steps4. Columns from end4 on are not stored.
fn multiply(first_row: u32, column4: u32, end4: u32, steps4: u32, lane: u32) {
  var r0: Rows;
  var r4: Rows;
  var r8: Rows;
  var r12: Rows;
  var r16: Rows;
  var r20: Rows;
  for (var s4 = 0u; s4 < steps4; s4++) {
    let low = right_block(s4, column4);
    let high = right_block(s4, high_column4(column4));
    let x = load_items(s4, lane);
    r0 = add_rows(r0, block0(x), low, high);
    r4 = add_rows(r4, block1(x), low, high);
    r8 = add_rows(r8, block2(x), low, high);
    r12 = add_rows(r12, block3(x), low, high);
    r16 = add_rows(r16, block4(x), low, high);
    r20 = add_rows(r20, block5(x), low, high);
  }
  if (column4 >= end4) { return; }
  store_rows(first_row + 20u, column4, r20);
  store_rows(first_row + 16u, column4, r16);
  store_rows(first_row + 12u, column4, r12);
  store_rows(first_row + 8u, column4, r8);
  store_rows(first_row + 4u, column4, r4);
  store_rows(first_row, column4, r0);
}

fn store_rows(row: u32, column4: u32, rows: Rows) {
  store(row + 3u, column4, rows.low[3], rows.high[3]);
  store(row + 2u, column4, rows.low[2], rows.high[2]);
  store(row + 1u, column4, rows.low[1], rows.high[1]);
  store(row, column4, rows.low[0], rows.high[0]);
}

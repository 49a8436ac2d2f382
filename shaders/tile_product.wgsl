// tile_product: what the three matrix products share: a tile of the result from tiles of the operands. No kernel of its own:
// matmul.ts puts it behind them.
//
//   sums[r,c] += sum_s left[s,r] * right[s,c]    over the DEPTH steps that lie in workgroup memory
//
// 64 threads, 8 x 8. In a tile of 64 x 64 a thread has 8 x 8 sums, in one of 32 x 32 it has 4 x 4: twice the loads for each
// product, but four times the workgroups, of which a small result has too few for a large GPU. A sum has the same order, and
// the same bits, in both.
const DEPTH = 16u;
const WIDTH = TILE / 4u;

// Operand tiles, one step of the sum per row.
var<workgroup> left: array<array<vec4<f32>, WIDTH>, DEPTH>;
var<workgroup> right: array<array<vec4<f32>, WIDTH>, DEPTH>;

// Rows from first_row(y) and, in the large tile, four more; columns 4 x .. and, there, 32 + 4 x ... Never by a loop's index,
// which moved them from registers to memory: up to seven times as long on an H100.
struct Sums { top_low: mat4x4<f32>, top_high: mat4x4<f32>, bottom_low: mat4x4<f32>, bottom_high: mat4x4<f32> }

fn first_row(y: u32) -> u32 { return TILE / 8u * y; }

// A tile is fetched in blocks of four by four, TILE of them: a thread has one of each operand, or one of either.
fn fetches_left(thread: u32) -> bool { return TILE == 64u || thread < 32u; }
fn fetches_right(thread: u32) -> bool { return TILE == 64u || thread >= 32u; }

// Column i of the block is step s + i of four rows, or columns, of the result.
fn keep_left(s: u32, row4: u32, block: mat4x4<f32>) {
  left[s][row4] = block[0];
  left[s + 1u][row4] = block[1];
  left[s + 2u][row4] = block[2];
  left[s + 3u][row4] = block[3];
}

fn keep_right(s: u32, column4: u32, block: mat4x4<f32>) {
  right[s][column4] = block[0];
  right[s + 1u][column4] = block[1];
  right[s + 2u][column4] = block[2];
  right[s + 3u][column4] = block[3];
}

// By fma, so that both tiles have the same bits: of * and + a compiler may make one rounding here and two there.
fn plus_outer(sum: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
  return mat4x4(
    fma(vec4(rows[0]), columns, sum[0]),
    fma(vec4(rows[1]), columns, sum[1]),
    fma(vec4(rows[2]), columns, sum[2]),
    fma(vec4(rows[3]), columns, sum[3]),
  );
}

fn add_step(sums: ptr<function, Sums>, s: u32, x: u32, y: u32) {
  let top = left[s][first_row(y) / 4u];
  let low = right[s][x];
  (*sums).top_low = plus_outer((*sums).top_low, top, low);
  if (TILE == 64u) {
    let bottom = left[s][first_row(y) / 4u + 1u];
    let high = right[s][x + 8u];
    (*sums).top_high = plus_outer((*sums).top_high, top, high);
    (*sums).bottom_low = plus_outer((*sums).bottom_low, bottom, low);
    (*sums).bottom_high = plus_outer((*sums).bottom_high, bottom, high);
  }
}

fn add_steps(sums: ptr<function, Sums>, x: u32, y: u32) {
  for (var s = 0u; s < DEPTH; s += 4u) { // unrolled by hand: naga guards every turn of a loop
    add_step(sums, s, x, y);
    add_step(sums, s + 1u, x, y);
    add_step(sums, s + 2u, x, y);
    add_step(sums, s + 3u, x, y);
  }
}

// Hands the thread's sums to the kernel's store, a vec4 of a row at a time.
fn store_sums(sums: Sums, row: u32, column4: u32) {
  store_rows(row, column4, sums.top_low);
  if (TILE == 64u) {
    store_rows(row, column4 + 8u, sums.top_high);
    store_rows(row + 4u, column4, sums.bottom_low);
    store_rows(row + 4u, column4 + 8u, sums.bottom_high);
  }
}

fn store_rows(row: u32, column4: u32, rows: mat4x4<f32>) {
  store(row, column4, rows[0]);
  store(row + 1u, column4, rows[1]);
  store(row + 2u, column4, rows[2]);
  store(row + 3u, column4, rows[3]);
}

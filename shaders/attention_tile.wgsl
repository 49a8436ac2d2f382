// attention_tile: what the three attention kernels do with a tile of keys, values, queries or upstream gradients in workgroup
// memory. No kernel of its own: attention.ts puts it behind them.
//
// 64 threads, 8 x 8: x and y of a thread. A thread has four rows of the result and four rows of the tile, in turn, which lie
// eight apart. A kernel has params with NH and NKV, and qkv.
const TILE = 32u;
const HS4 = HEAD_SIZE / 4u;
const PARTS = (HS4 + 15u) / 16u; // a head over 64 elements passes through workgroup memory in two halves
const PART4 = HS4 / PARTS;
const PITCH = PART4 | 1u; // odd, so that eight rows lie in eight banks
const OF_ROW = vec4(0u, 8u, 16u, 24u); // the four rows of a thread lie eight apart

var<workgroup> tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> weights: array<vec4<f32>, TILE * 9u>; // by row of the result: of the tile's rows x, x + 8, x + 16, x + 24

fn row_stride() -> u32 { return (params.NH + 2u * params.NKV) * HS4; }

// Rows first.. of a part of a query, key or value head; rows from end on count as zero.
fn load_tile(first: u32, end: u32, column: u32, x: u32, y: u32) {
  let rows = first + y + OF_ROW;
  let at = min(rows, vec4(end - 1u)) * row_stride() + column;
  let there = vec4<f32>(rows < vec4(end));
  for (var c = x; c < PART4; c += 8u) {
    tile[y * PITCH + c] = vec4<f32>(qkv[at[0] + c]) * there[0];
    tile[(y + 8u) * PITCH + c] = vec4<f32>(qkv[at[1] + c]) * there[1];
    tile[(y + 16u) * PITCH + c] = vec4<f32>(qkv[at[2] + c]) * there[2];
    tile[(y + 24u) * PITCH + c] = vec4<f32>(qkv[at[3] + c]) * there[3];
  }
}

// Column r of the result: column r of sum, plus sum_j a[j] * b[r][j].
fn add_product(sum: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
  return mat4x4(
    sum[0] + a[0] * b[0].x + a[1] * b[0].y + a[2] * b[0].z + a[3] * b[0].w,
    sum[1] + a[0] * b[1].x + a[1] * b[1].y + a[2] * b[1].z + a[3] * b[1].w,
    sum[2] + a[0] * b[2].x + a[1] * b[2].y + a[2] * b[2].z + a[3] * b[2].w,
    sum[3] + a[0] * b[3].x + a[1] * b[3].y + a[2] * b[3].z + a[3] * b[3].w,
  );
}

// Vec4 c of the thread's four rows of the tile, turned: column i holds element i of each.
fn tile_columns(c: u32, x: u32) -> mat4x4<f32> {
  return transpose(mat4x4(
    tile[x * PITCH + c],
    tile[(x + 8u) * PITCH + c],
    tile[(x + 16u) * PITCH + c],
    tile[(x + 24u) * PITCH + c],
  ));
}

// Adds the dot products of four rows, at these places of qkv, with the thread's four rows of the tile.
fn add_scores(sum: mat4x4<f32>, at: vec4<u32>, x: u32) -> mat4x4<f32> {
  var s = sum;
  for (var c = 0u; c < PART4; c++) {
    let rows = mat4x4(
      vec4<f32>(qkv[at[0] + c]),
      vec4<f32>(qkv[at[1] + c]),
      vec4<f32>(qkv[at[2] + c]),
      vec4<f32>(qkv[at[3] + c]),
    );
    s = add_product(s, tile_columns(c, x), rows);
  }
  return s;
}

// Adds the tile's rows, weighted, to the thread's four rows of vec4 c.
fn add_weighted(sum: mat4x4<f32>, c: u32, y: u32) -> mat4x4<f32> {
  if (c >= PART4) { return sum; }
  var all = sum;
  for (var j = 0u; j < 8u; j++) {
    let rows = mat4x4(
      tile[j * PITCH + c],
      tile[(j + 8u) * PITCH + c],
      tile[(j + 16u) * PITCH + c],
      tile[(j + 24u) * PITCH + c],
    );
    let of_rows = mat4x4(
      weights[y * 9u + j],
      weights[(y + 8u) * 9u + j],
      weights[(y + 16u) * 9u + j],
      weights[(y + 24u) * 9u + j],
    );
    all = add_product(all, rows, of_rows);
  }
  return all;
}

fn keep_weights(w: mat4x4<f32>, x: u32, y: u32) {
  weights[y * 9u + x] = w[0];
  weights[(y + 8u) * 9u + x] = w[1];
  weights[(y + 16u) * 9u + x] = w[2];
  weights[(y + 24u) * 9u + x] = w[3];
}

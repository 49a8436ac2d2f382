// attention_forward: causal attention with grouped queries over packed trees, without a T x T matrix.
//
//   s[i,j] = dot(q[i], k[j]) / sqrt(HS) for the keys j that row i sees, -inf for the others
//   lse[i] = log(sum_j exp(s[i,j]));  out[i] = sum_j exp(s[i,j] - lse[i]) v[j]
//
// A row sees the shared prefix of its tree and its own branch up to itself. Keys pass in blocks of 32 that start at
// prefixBegin and at branchBegin, with a running maximum and sum, so a row's result depends on its own tree alone.
//
// Shapes    qkv (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; query head h uses key head
//           h / (NH / NKV). out (N, NH HS) operand; lse (N, NH) f32. query_tiles (n, 8) u32: firstRow, rowCount <= 32,
//           prefixBegin, prefixEnd, branchBegin, diagonal, 0, 0; its row r sees [prefixBegin, prefixEnd) and
//           [branchBegin, diagonal + r].
// Dispatch  (query tiles, NH), tiles in x and z: 64 threads, 8 x 8 (attention_tile.wgsl); each has 4 rows by 4 keys of s, and 4 rows by every eighth vec4 of out.
// Writes    overwrites out and lse of the tiles' rows; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 1; the trees: arXiv:2410.20305.

struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> query_tiles: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<operand>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const LOWEST = -3.0e38;

var<workgroup> shares: array<vec4<f32>, 64>; // of the four rows, from every thread

fn scale_rows(o: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
  return mat4x4(o[0] * by[0], o[1] * by[1], o[2] * by[2], o[3] * by[3]);
}

fn largest(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(64)
fn attention_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile_index = workgroup.z * workgroups.x + workgroup.x;
  if (tile_index >= params.tiles) { return; }
  let x = thread % 8u;
  let y = thread / 8u;
  let rows_keys = query_tiles[2u * tile_index];
  let branch = query_tiles[2u * tile_index + 1u];
  let head = workgroup.y;
  let key_column = (params.NH + head / (params.NH / params.NKV)) * HS4;
  let value_column = key_column + params.NKV * HS4;
  let row_count = rows_keys[1];
  let rows = y + OF_ROW;
  let query_rows = rows_keys[0] + min(rows, vec4(row_count - 1u));
  let query_at = query_rows * row_stride() + head * HS4;

  var maximum = vec4(LOWEST);
  var sum = vec4(0.0); // over the thread's own keys
  var o0 = mat4x4<f32>(); // rows by vec4s x, x + 8, and of the second part x, x + 8
  var o1 = mat4x4<f32>();
  var o2 = mat4x4<f32>();
  var o3 = mat4x4<f32>();
  for (var range = 0u; range < 2u; range++) { // the prefix, then the branch
    let begin = select(rows_keys[2], branch[0], range == 1u);
    let end = select(rows_keys[3], branch[1] + row_count, range == 1u);
    let limit = select(vec4(end), branch[1] + rows + 1u, range == 1u);
    for (var first = begin; first < end; first += TILE) {
      var s = mat4x4<f32>();
      for (var part = 0u; part < PARTS; part++) {
        workgroupBarrier();
        load_tile(first, end, key_column + part * PART4, x, y);
        workgroupBarrier();
        s = add_scores(s, query_at + part * PART4, x);
      }
      let keys = first + x + OF_ROW;
      s[0] = select(vec4(LOWEST), s[0] * params.scale, keys < vec4(limit[0]));
      s[1] = select(vec4(LOWEST), s[1] * params.scale, keys < vec4(limit[1]));
      s[2] = select(vec4(LOWEST), s[2] * params.scale, keys < vec4(limit[2]));
      s[3] = select(vec4(LOWEST), s[3] * params.scale, keys < vec4(limit[3]));
      shares[thread] = vec4(largest(s[0]), largest(s[1]), largest(s[2]), largest(s[3]));
      workgroupBarrier();
      let before = maximum;
      for (var i = 0u; i < 8u; i++) { maximum = max(maximum, shares[y * 8u + i]); }
      let rescale = exp(before - maximum);
      let p = mat4x4(
        exp(s[0] - maximum[0]),
        exp(s[1] - maximum[1]),
        exp(s[2] - maximum[2]),
        exp(s[3] - maximum[3]),
      );
      keep_weights(p, x, y);
      sum = sum * rescale + vec4(1.0) * p;
      load_tile(first, end, value_column, x, y);
      workgroupBarrier();
      o0 = add_weighted(scale_rows(o0, rescale), x, y);
      o1 = add_weighted(scale_rows(o1, rescale), x + 8u, y);
      if (PARTS == 2u) {
        workgroupBarrier();
        load_tile(first, end, value_column + PART4, x, y);
        workgroupBarrier();
        o2 = add_weighted(scale_rows(o2, rescale), x, y);
        o3 = add_weighted(scale_rows(o3, rescale), x + 8u, y);
      }
    }
  }

  workgroupBarrier();
  shares[thread] = sum;
  workgroupBarrier();
  sum = vec4(0.0);
  for (var i = 0u; i < 8u; i++) { sum += shares[y * 8u + i]; }
  o0 = scale_rows(o0, 1.0 / sum);
  o1 = scale_rows(o1, 1.0 / sum);
  o2 = scale_rows(o2, 1.0 / sum);
  o3 = scale_rows(o3, 1.0 / sum);
  let out_at = query_rows * params.NH + head;
  let row_lse = maximum + log(sum);
  if (rows[0] < row_count) { store(out_at[0], x, row_lse[0], o0[0], o1[0], o2[0], o3[0]); }
  if (rows[1] < row_count) { store(out_at[1], x, row_lse[1], o0[1], o1[1], o2[1], o3[1]); }
  if (rows[2] < row_count) { store(out_at[2], x, row_lse[2], o0[2], o1[2], o2[2], o3[2]); }
  if (rows[3] < row_count) { store(out_at[3], x, row_lse[3], o0[3], o1[3], o2[3], o3[3]); }
}

fn store(
  at: u32,
  x: u32,
  row_lse: f32,
  v0: vec4<f32>,
  v1: vec4<f32>,
  v2: vec4<f32>,
  v3: vec4<f32>,
) {
  if (x == 0u) { lse[at] = row_lse; }
  let column = at * HS4 + x;
  if (x < PART4) { out[column] = vec4<operand>(v0); }
  if (x + 8u < PART4) { out[column + 8u] = vec4<operand>(v1); }
  if (PARTS == 2u) {
    out[column + PART4] = vec4<operand>(v2);
    if (x + 8u < PART4) { out[column + PART4 + 8u] = vec4<operand>(v3); }
  }
}

// attention_backward_query: gradient of attention with respect to the queries, and what attention_backward_key needs.
//
//   out[i] = sum_j p[i,j] v[j], p[i,j] = exp(s[i,j] - lse[i]), s[i,j] = dot(q[i], k[j]) * scale
//     =>  delta[i] = dot(dout[i], out[i])
//         ds[i,j]  = p[i,j] * (dot(dout[i], v[j]) - delta[i])
//         dq[i]    = scale * sum_j ds[i,j] k[j]
//
// The scores are computed again from lse instead of being kept. delta stands for sum_j p[i,j] dp[i,j], the part of a
// softmax's gradient that all its inputs share.
//
// Shapes    qkv, dqkv (N, (NH + 2 NKV) HS), out, dout (N, NH HS) operand; lse, delta (N, NH) f32; query_tiles (n, 8) u32
//           and the keys that a row sees as in attention_forward.
// Dispatch  (query tiles, NH), tiles in x and z: 64 threads, 8 x 8 (attention_tile.wgsl); each has 4 rows by 4 keys of ds, and 4 rows by every eighth vec4 of dq.
// Writes    overwrites the query heads of dqkv, and delta; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split so that every sum has one owner: no atomics.

struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> out: array<vec4<operand>>;
@group(0) @binding(3) var<storage, read> dout: array<vec4<operand>>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> query_tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4<operand>>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

var<workgroup> shares: array<vec4<f32>, 64>; // of the four rows' delta, from every thread

// What add_scores does, for four rows of dout with the thread's four values of the tile.
fn add_upstream(sum: mat4x4<f32>, at: vec4<u32>, x: u32) -> mat4x4<f32> {
  var dp = sum;
  for (var c = 0u; c < PART4; c++) {
    let d = mat4x4(
      vec4<f32>(dout[at[0] + c]),
      vec4<f32>(dout[at[1] + c]),
      vec4<f32>(dout[at[2] + c]),
      vec4<f32>(dout[at[3] + c]),
    );
    dp = add_product(dp, tile_columns(c, x), d);
  }
  return dp;
}

@compute @workgroup_size(64)
fn attention_backward_query(
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
  let row_at = rows_keys[0] + min(rows, vec4(row_count - 1u));
  let query_at = row_at * row_stride() + head * HS4;
  let head_at = row_at * params.NH + head;
  let out_at = head_at * HS4;
  let row_lse = vec4(lse[head_at[0]], lse[head_at[1]], lse[head_at[2]], lse[head_at[3]]);

  var share = vec4(0.0);
  for (var c = x; c < HS4; c += 8u) {
    share += vec4(
      dot(vec4<f32>(dout[out_at[0] + c]), vec4<f32>(out[out_at[0] + c])),
      dot(vec4<f32>(dout[out_at[1] + c]), vec4<f32>(out[out_at[1] + c])),
      dot(vec4<f32>(dout[out_at[2] + c]), vec4<f32>(out[out_at[2] + c])),
      dot(vec4<f32>(dout[out_at[3] + c]), vec4<f32>(out[out_at[3] + c])),
    );
  }
  shares[thread] = share;
  workgroupBarrier();
  var row_delta = vec4(0.0);
  for (var i = 0u; i < 8u; i++) { row_delta += shares[y * 8u + i]; }

  var dq0 = mat4x4<f32>(); // rows by vec4s x, x + 8, and of the second part x, x + 8
  var dq1 = mat4x4<f32>();
  var dq2 = mat4x4<f32>();
  var dq3 = mat4x4<f32>();
  for (var range = 0u; range < 2u; range++) { // the prefix, then the branch
    let begin = select(rows_keys[2], branch[0], range == 1u);
    let end = select(rows_keys[3], branch[1] + row_count, range == 1u);
    let limit = select(vec4(end), branch[1] + rows + 1u, range == 1u);
    for (var first = begin; first < end; first += TILE) {
      var dp = mat4x4<f32>();
      for (var part = 0u; part < PARTS; part++) {
        workgroupBarrier();
        load_tile(first, end, value_column + part * PART4, x, y);
        workgroupBarrier();
        dp = add_upstream(dp, out_at + part * PART4, x);
      }
      var s = mat4x4<f32>();
      for (var part = 0u; part < PARTS; part++) {
        workgroupBarrier();
        load_tile(first, end, key_column + part * PART4, x, y);
        workgroupBarrier();
        s = add_scores(s, query_at + part * PART4, x);
      }
      let keys = first + x + OF_ROW;
      let ds = mat4x4(
        exp(s[0] * params.scale - row_lse[0]) * (dp[0] - row_delta[0]),
        exp(s[1] * params.scale - row_lse[1]) * (dp[1] - row_delta[1]),
        exp(s[2] * params.scale - row_lse[2]) * (dp[2] - row_delta[2]),
        exp(s[3] * params.scale - row_lse[3]) * (dp[3] - row_delta[3]),
      );
      let seen = mat4x4(
        select(vec4(0.0), ds[0], keys < vec4(limit[0])),
        select(vec4(0.0), ds[1], keys < vec4(limit[1])),
        select(vec4(0.0), ds[2], keys < vec4(limit[2])),
        select(vec4(0.0), ds[3], keys < vec4(limit[3])),
      );
      keep_weights(seen, x, y);
      workgroupBarrier();
      if (PARTS == 2u) {
        dq2 = add_weighted(dq2, x, y);
        dq3 = add_weighted(dq3, x + 8u, y);
        workgroupBarrier();
        load_tile(first, end, key_column, x, y);
        workgroupBarrier();
      }
      dq0 = add_weighted(dq0, x, y);
      dq1 = add_weighted(dq1, x + 8u, y);
    }
  }

  if (x == 0u) {
    if (rows[0] < row_count) { delta[head_at[0]] = row_delta[0]; }
    if (rows[1] < row_count) { delta[head_at[1]] = row_delta[1]; }
    if (rows[2] < row_count) { delta[head_at[2]] = row_delta[2]; }
    if (rows[3] < row_count) { delta[head_at[3]] = row_delta[3]; }
  }
  if (rows[0] < row_count) { store(query_at[0], x, dq0[0], dq1[0], dq2[0], dq3[0]); }
  if (rows[1] < row_count) { store(query_at[1], x, dq0[1], dq1[1], dq2[1], dq3[1]); }
  if (rows[2] < row_count) { store(query_at[2], x, dq0[2], dq1[2], dq2[2], dq3[2]); }
  if (rows[3] < row_count) { store(query_at[3], x, dq0[3], dq1[3], dq2[3], dq3[3]); }
}

fn store(at: u32, x: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
  if (x < PART4) { dqkv[at + x] = vec4<operand>(v0 * params.scale); }
  if (x + 8u < PART4) { dqkv[at + x + 8u] = vec4<operand>(v1 * params.scale); }
  if (PARTS == 2u) {
    dqkv[at + PART4 + x] = vec4<operand>(v2 * params.scale);
    if (x + 8u < PART4) { dqkv[at + PART4 + x + 8u] = vec4<operand>(v3 * params.scale); }
  }
}

// attention_backward_key: gradient of attention with respect to keys and values.
//
//   p[i,j], ds[i,j] as in attention_backward_query  =>  dv[j] = sum_i p[i,j] dout[i]
//                                                       dk[j] = scale * sum_i ds[i,j] q[i]
//
// over the rows i that see key j, in every query head of the key head: the heads one after the other, a head's rows in
// blocks of 32 from the tile's first key on, so the result depends on the key's own tree alone.
//
// Shapes    qkv, dqkv (N, (NH + 2 NKV) HS), dout (N, NH HS) operand; lse, delta (N, NH) f32. key_tiles (n, 4) u32:
//           firstRow, rowCount <= 32, queryEnd, 0; its key row k is seen by the rows [k, queryEnd).
// Dispatch  (key tiles, NKV), tiles in x and z: 64 threads, 8 x 8 (attention_tile.wgsl); each has 4 keys by 4 rows of p, and 4 keys by every eighth vec4 of dk, dv.
// Writes    overwrites the key and value heads of dqkv; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 2.

struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<operand>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read> key_tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4<operand>>;

// What load_tile does, for rows of dout.
fn load_upstream(first: u32, end: u32, column: u32, x: u32, y: u32) {
  let rows = first + y + OF_ROW;
  let at = min(rows, vec4(end - 1u)) * params.NH * HS4 + column;
  let there = vec4<f32>(rows < vec4(end));
  for (var c = x; c < PART4; c += 8u) {
    tile[y * PITCH + c] = vec4<f32>(dout[at[0] + c]) * there[0];
    tile[(y + 8u) * PITCH + c] = vec4<f32>(dout[at[1] + c]) * there[1];
    tile[(y + 16u) * PITCH + c] = vec4<f32>(dout[at[2] + c]) * there[2];
    tile[(y + 24u) * PITCH + c] = vec4<f32>(dout[at[3] + c]) * there[3];
  }
}

@compute @workgroup_size(64)
fn attention_backward_key(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile_index = workgroup.z * workgroups.x + workgroup.x;
  if (tile_index >= params.tiles) { return; }
  let x = thread % 8u;
  let y = thread / 8u;
  let keys_rows = key_tiles[tile_index];
  let kv_head = workgroup.y;
  let group = params.NH / params.NKV;
  let key_count = keys_rows[1];
  let end = keys_rows[2];
  let keys = keys_rows[0] + y + OF_ROW;
  let last_key = keys_rows[0] + key_count - 1u;
  let key_at = min(keys, vec4(last_key)) * row_stride() + (params.NH + kv_head) * HS4;
  let value_at = key_at + params.NKV * HS4;

  var dk0 = mat4x4<f32>(); // keys by vec4s x, x + 8, and of the second part x, x + 8
  var dk1 = mat4x4<f32>();
  var dk2 = mat4x4<f32>();
  var dk3 = mat4x4<f32>();
  var dv0 = mat4x4<f32>();
  var dv1 = mat4x4<f32>();
  var dv2 = mat4x4<f32>();
  var dv3 = mat4x4<f32>();
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    for (var first = keys_rows[0]; first < end; first += TILE) {
      let rows = first + x + OF_ROW;
      let at = min(rows, vec4(end - 1u)) * params.NH + head;
      let row_lse = vec4(lse[at[0]], lse[at[1]], lse[at[2]], lse[at[3]]);
      let row_delta = vec4(delta[at[0]], delta[at[1]], delta[at[2]], delta[at[3]]);

      var p = mat4x4<f32>();
      for (var part = 0u; part < PARTS; part++) {
        workgroupBarrier();
        load_tile(first, end, head * HS4 + part * PART4, x, y);
        workgroupBarrier();
        p = add_scores(p, key_at + part * PART4, x);
      }
      p = mat4x4(
        softmax(p[0], row_lse, rows, keys[0], end),
        softmax(p[1], row_lse, rows, keys[1], end),
        softmax(p[2], row_lse, rows, keys[2], end),
        softmax(p[3], row_lse, rows, keys[3], end),
      );
      keep_weights(p, x, y);
      workgroupBarrier();
      load_upstream(first, end, head * HS4, x, y);
      workgroupBarrier();
      var dp = add_scores(mat4x4<f32>(), value_at, x);
      dv0 = add_weighted(dv0, x, y);
      dv1 = add_weighted(dv1, x + 8u, y);
      workgroupBarrier();
      if (PARTS == 2u) {
        load_upstream(first, end, head * HS4 + PART4, x, y);
        workgroupBarrier();
        dp = add_scores(dp, value_at + PART4, x);
        dv2 = add_weighted(dv2, x, y);
        dv3 = add_weighted(dv3, x + 8u, y);
        workgroupBarrier();
      }
      let ds = mat4x4(
        p[0] * (dp[0] - row_delta),
        p[1] * (dp[1] - row_delta),
        p[2] * (dp[2] - row_delta),
        p[3] * (dp[3] - row_delta),
      );
      keep_weights(ds, x, y);
      load_tile(first, end, head * HS4, x, y);
      workgroupBarrier();
      dk0 = add_weighted(dk0, x, y);
      dk1 = add_weighted(dk1, x + 8u, y);
      if (PARTS == 2u) {
        workgroupBarrier();
        load_tile(first, end, head * HS4 + PART4, x, y);
        workgroupBarrier();
        dk2 = add_weighted(dk2, x, y);
        dk3 = add_weighted(dk3, x + 8u, y);
      }
    }
  }

  dk0 *= params.scale;
  dk1 *= params.scale;
  dk2 *= params.scale;
  dk3 *= params.scale;
  let value = params.NKV * HS4; // from a key to its value
  if (keys[0] <= last_key) {
    store(key_at[0], x, dk0[0], dk1[0], dk2[0], dk3[0]);
    store(key_at[0] + value, x, dv0[0], dv1[0], dv2[0], dv3[0]);
  }
  if (keys[1] <= last_key) {
    store(key_at[1], x, dk0[1], dk1[1], dk2[1], dk3[1]);
    store(key_at[1] + value, x, dv0[1], dv1[1], dv2[1], dv3[1]);
  }
  if (keys[2] <= last_key) {
    store(key_at[2], x, dk0[2], dk1[2], dk2[2], dk3[2]);
    store(key_at[2] + value, x, dv0[2], dv1[2], dv2[2], dv3[2]);
  }
  if (keys[3] <= last_key) {
    store(key_at[3], x, dk0[3], dk1[3], dk2[3], dk3[3]);
    store(key_at[3] + value, x, dv0[3], dv1[3], dv2[3], dv3[3]);
  }
}

// The weights of key `key` in four rows, 0 in those that do not see it.
fn softmax(s: vec4<f32>, row_lse: vec4<f32>, rows: vec4<u32>, key: u32, end: u32) -> vec4<f32> {
  let seen = (rows >= vec4(key)) & (rows < vec4(end));
  return select(vec4(0.0), exp(s * params.scale - row_lse), seen);
}

fn store(at: u32, x: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
  if (x < PART4) { dqkv[at + x] = vec4<operand>(v0); }
  if (x + 8u < PART4) { dqkv[at + x + 8u] = vec4<operand>(v1); }
  if (PARTS == 2u) {
    dqkv[at + PART4 + x] = vec4<operand>(v2);
    if (x + 8u < PART4) { dqkv[at + PART4 + x + 8u] = vec4<operand>(v3); }
  }
}

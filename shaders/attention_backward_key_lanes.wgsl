// attention_backward_key_lanes: attention_backward_key for software adapters; see lane_head.wgsl.
//
//   p[i,j], ds[i,j] as in attention_backward_query_lanes  =>  dv[j] = sum_i p[i,j] dout[i]
//                                                             dk[j] = scale * sum_i ds[i,j] q[i]
//
// over the rows i that see key j, in every query head of the key head: the heads one after the other, a head's rows one by one.
//
// Shapes    as attention_backward_key; qkv, dout, lse and delta as textures.
// Dispatch  (key tiles, NKV), tiles in x and z: one subgroup; a lane has two of the tile's keys at a time, one of wide heads.
// Writes    overwrites the key and value heads of dqkv; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 2.
struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: qkv_texels;
@group(0) @binding(2) var dout: dout_texels;
@group(0) @binding(3) var lse: lse_texels;
@group(0) @binding(4) var delta: delta_texels;
@group(0) @binding(5) var<storage, read> key_tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4<operand>>;

const QKV = 0u;
const DOUT = 1u;

fn load(source: u32, i: u32) -> vec4<f32> {
  if (source == DOUT) { return textureLoad(dout, texel(i)); }
  return textureLoad(qkv, texel(i));
}

struct Key { k: Head, v: Head, dk: Head, dv: Head }

fn begin_key(key_at: u32) -> Key {
  var key: Key;
  key.k = own_head(QKV, key_at);
  key.v = own_head(QKV, key_at + params.NKV * HS4);
  return key;
}

fn add_row(key: Key, q: Head, upstream: Head, row_lse: f32, row_delta: f32, seen: bool) -> Key {
  let p = select(0.0, exp(dot_heads(q, key.k) * params.scale - row_lse), seen);
  let ds = p * (dot_heads(upstream, key.v) - row_delta);
  return Key(key.k, key.v, add_head(key.dk, ds, q), add_head(key.dv, p, upstream));
}

@compute @workgroup_size(LANES)
fn attention_backward_key_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile_index = workgroup.z * workgroups.x + workgroup.x;
  if (tile_index >= params.tiles) { return; }
  let keys_rows = key_tiles[tile_index];
  let kv_head = workgroup.y;
  let group = params.NH / params.NKV;
  let key_count = keys_rows[1];
  for (var first = 0u; first < key_count; first += select(2u, 1u, WIDE) * LANES) {
    let index = first + lane + LANES * vec2(0u, 1u);
    let keys = keys_rows[0] + min(index, vec2(key_count - 1u));
    let key_at = keys * row_stride() + (params.NH + kv_head) * HS4;
    var k0 = begin_key(key_at[0]);
    var k1 = begin_key(key_at[1]);
    for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
      for (var row = keys_rows[0] + first; row < keys_rows[2]; row++) {
        let at = row * params.NH + head;
        let q = shared_head(QKV, row * row_stride() + head * HS4, lane);
        let upstream = shared_head(DOUT, at * HS4, lane);
        let row_lse = textureLoad(lse, texel(at / 4u))[at % 4u];
        let row_delta = textureLoad(delta, texel(at / 4u))[at % 4u];
        k0 = add_row(k0, q, upstream, row_lse, row_delta, row >= keys[0]);
        if (!WIDE) { k1 = add_row(k1, q, upstream, row_lse, row_delta, row >= keys[1]); }
      }
    }
    if (index[0] < key_count) { store_key(key_at[0], k0); }
    if (!WIDE && index[1] < key_count) { store_key(key_at[1], k1); }
  }
}

fn store_key(key_at: u32, key: Key) {
  store_head(key_at, scale_head(key.dk, params.scale));
  store_head(key_at + params.NKV * HS4, key.dv);
}

fn store(i: u32, value: vec4<f32>) { dqkv[i] = vec4<operand>(value); }

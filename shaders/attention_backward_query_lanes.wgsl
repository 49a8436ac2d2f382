// attention_backward_query_lanes: attention_backward_query for software adapters; see lane_head.wgsl.
//
//   delta[i] = dot(dout[i], out[i])
//   ds[i,j]  = p[i,j] * (dot(dout[i], v[j]) - delta[i]), p[i,j] = exp(dot(q[i], k[j]) * scale - lse[i])
//   dq[i]    = scale * sum_j ds[i,j] k[j]
//
// Keys pass one by one.
//
// Shapes    as attention_backward_query; qkv, out and dout as textures.
// Dispatch  (query tiles, NH), tiles in x and z: one subgroup; a lane has two of the tile's rows at a time, one of wide heads.
// Writes    overwrites the query heads of dqkv, and delta; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 2, split so that every sum has one owner: no atomics.
struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: qkv_texels;
@group(0) @binding(2) var out: out_texels;
@group(0) @binding(3) var dout: dout_texels;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> query_tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4<operand>>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

const QKV = 0u;
const OUT = 1u;
const DOUT = 2u;

fn load(source: u32, i: u32) -> vec4<f32> {
  if (source == OUT) { return textureLoad(out, texel(i)); }
  if (source == DOUT) { return textureLoad(dout, texel(i)); }
  return textureLoad(qkv, texel(i));
}

const ROWS = select(2u, 1u, WIDE) * LANES; // of all lanes

struct Row { q: Head, dout: Head, dq: Head, lse: f32, delta: f32 }

fn begin_row(query_at: u32, head_at: u32) -> Row {
  var row: Row;
  row.q = own_head(QKV, query_at);
  row.dout = own_head(DOUT, head_at * HS4);
  row.lse = lse[head_at];
  row.delta = dot_heads(row.dout, own_head(OUT, head_at * HS4));
  return row;
}

fn add_key(row: Row, k: Head, v: Head, seen: bool) -> Row {
  let p = exp(dot_heads(row.q, k) * params.scale - row.lse);
  let ds = select(0.0, p * (dot_heads(row.dout, v) - row.delta), seen);
  return Row(row.q, row.dout, add_head(row.dq, ds, k), row.lse, row.delta);
}

@compute @workgroup_size(LANES)
fn attention_backward_query_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile_index = workgroup.z * workgroups.x + workgroup.x;
  if (tile_index >= params.tiles) { return; }
  let rows_keys = query_tiles[2u * tile_index];
  let branch = query_tiles[2u * tile_index + 1u];
  let head = workgroup.y;
  let key_column = (params.NH + head / (params.NH / params.NKV)) * HS4;
  let value_column = key_column + params.NKV * HS4;
  let row_count = rows_keys[1];
  for (var first = 0u; first < row_count; first += ROWS) {
    let rows = first + lane + LANES * vec2(0u, 1u);
    let query_rows = rows_keys[0] + min(rows, vec2(row_count - 1u));
    let query_at = query_rows * row_stride() + head * HS4;
    let head_at = query_rows * params.NH + head;
    var r0 = begin_row(query_at[0], head_at[0]);
    var r1 = begin_row(query_at[1], head_at[1]);
    for (var range = 0u; range < 2u; range++) { // the prefix, then the branch
      let begin = select(rows_keys[2], branch[0], range == 1u);
      // No row of this turn sees a later key.
      let last = min(row_count, first + ROWS);
      let end = select(rows_keys[3], branch[1] + last, range == 1u);
      let limit = select(vec2(end), branch[1] + rows + 1u, range == 1u);
      for (var key = begin; key < end; key++) {
        let k = shared_head(QKV, key * row_stride() + key_column, lane);
        let v = shared_head(QKV, key * row_stride() + value_column, lane);
        r0 = add_key(r0, k, v, key < limit[0]);
        if (!WIDE) { r1 = add_key(r1, k, v, key < limit[1]); }
      }
    }
    if (rows[0] < row_count) { store_row(query_at[0], head_at[0], r0); }
    if (!WIDE && rows[1] < row_count) { store_row(query_at[1], head_at[1], r1); }
  }
}

fn store_row(query_at: u32, head_at: u32, row: Row) {
  delta[head_at] = row.delta;
  store_head(query_at, scale_head(row.dq, params.scale));
}

fn store(i: u32, value: vec4<f32>) { dqkv[i] = vec4<operand>(value); }

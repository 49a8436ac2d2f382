// attention_forward_lanes: attention_forward for software adapters; see lane_head.wgsl.
//
//   s[i,j] = dot(q[i], k[j]) / sqrt(HS) for the keys j that row i sees, -inf for the others
//   lse[i] = log(sum_j exp(s[i,j]));  out[i] = sum_j exp(s[i,j] - lse[i]) v[j]
//
// Keys pass one by one, with a running maximum and sum, so a row's result depends on its own tree alone.
//
// Shapes    as attention_forward; qkv as a texture.
// Dispatch  (query tiles, NH), tiles in x and z: one subgroup; a lane has four of the tile's rows at a time, two of wide heads.
// Writes    overwrites out and lse of the tiles' rows; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 1; the trees: arXiv:2410.20305.
struct Params { tiles: u32, NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: qkv_texels;
@group(0) @binding(2) var<storage, read> query_tiles: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<operand>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const QKV = 0u;

fn load(source: u32, i: u32) -> vec4<f32> { return textureLoad(qkv, texel(i)); }

const LOWEST = -3.0e38;

struct Row { q: Head, o: Head, maximum: f32, sum: f32 }

fn begin_row(at: u32) -> Row {
  var row: Row;
  row.q = own_head(QKV, at);
  row.maximum = LOWEST;
  return row;
}

fn add_key(row: Row, k: Head, v: Head, seen: bool) -> Row {
  let s = select(LOWEST, dot_heads(row.q, k) * params.scale, seen);
  let maximum = max(row.maximum, s);
  let rescale = exp(row.maximum - maximum);
  let p = select(0.0, exp(s - maximum), seen);
  return Row(row.q, add_head(scale_head(row.o, rescale), p, v), maximum, fma(row.sum, rescale, p));
}

@compute @workgroup_size(LANES)
fn attention_forward_lanes(
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
  for (var first = 0u; first < row_count; first += select(4u, 2u, WIDE) * LANES) {
    let rows = first + lane + LANES * vec4(0u, 1u, 2u, 3u);
    let query_rows = rows_keys[0] + min(rows, vec4(row_count - 1u));
    let query_at = query_rows * row_stride() + head * HS4;
    var r0 = begin_row(query_at[0]);
    var r1 = begin_row(query_at[1]);
    var r2 = begin_row(query_at[2]);
    var r3 = begin_row(query_at[3]);
    for (var range = 0u; range < 2u; range++) { // the prefix, then the branch
      let begin = select(rows_keys[2], branch[0], range == 1u);
      let end = select(rows_keys[3], branch[1] + row_count, range == 1u);
      let limit = select(vec4(end), branch[1] + rows + 1u, range == 1u);
      for (var key = begin; key < end; key++) {
        let k = shared_head(QKV, key * row_stride() + key_column, lane);
        let v = shared_head(QKV, key * row_stride() + value_column, lane);
        r0 = add_key(r0, k, v, key < limit[0]);
        r1 = add_key(r1, k, v, key < limit[1]);
        if (!WIDE) {
          r2 = add_key(r2, k, v, key < limit[2]);
          r3 = add_key(r3, k, v, key < limit[3]);
        }
      }
    }
    let out_at = query_rows * params.NH + head;
    if (rows[0] < row_count) { store_row(out_at[0], r0); }
    if (rows[1] < row_count) { store_row(out_at[1], r1); }
    if (!WIDE && rows[2] < row_count) { store_row(out_at[2], r2); }
    if (!WIDE && rows[3] < row_count) { store_row(out_at[3], r3); }
  }
}

fn store_row(at: u32, row: Row) {
  lse[at] = row.maximum + log(row.sum);
  store_head(at * HS4, scale_head(row.o, 1.0 / row.sum));
}

fn store(i: u32, value: vec4<f32>) { out[i] = vec4<operand>(value); }

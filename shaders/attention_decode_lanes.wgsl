// attention_decode_lanes: attention_decode for software adapters; see lane_head.wgsl.
//
//   s[j] = dot(q, k[j]) / sqrt(HS);  out = sum_j softmax(s)[j] v[j],  q and the token's own k rotated by its position
//
// The token's own key comes first, then the others in blocks of LANES from the sequence's first on, with a running maximum and
// sums by lane, so the result depends on the sequence alone.
//
// Shapes    as attention_decode.
// Dispatch  (NH, B, 1): one subgroup; a lane has one key of a block.
// Writes    as attention_decode.
// Source    Dao 2023, arXiv:2307.08691, algorithm 1 with one row.
struct Params { NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> cache: array<vec4<element>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<operand>>;

const ROTATED = 0u; // query and key heads of qkv
const VALUES = 1u; // value heads of qkv
const CACHE = 2u;

var<private> position: u32;

fn load(source: u32, i: u32) -> vec4<f32> {
  if (source == CACHE) { return vec4<f32>(cache[i]); }
  if (source == VALUES) { return vec4<f32>(qkv[i]); }
  return rotated(i - i % HS4, i % HS4, position);
}

@compute @workgroup_size(LANES)
fn attention_decode_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = workgroup.x;
  let b = workgroup.y;
  let heads_per_key = params.NH / params.NKV;
  let kv_head = head / heads_per_key;
  let first = lengths[b].x;
  let count = lengths[b].y - 1u; // without the token's own
  position = count;
  let width = 2u * params.NKV * HS4;
  let key_column = kv_head * HS4;
  let value = params.NKV * HS4; // from a key to its value
  let own_key_at = b * row_stride() + (params.NH + kv_head) * HS4;
  if (head % heads_per_key == 0u) {
    for (var c = lane; c < HS4; c += LANES) {
      let at = (first + count) * width + key_column + c;
      cache[at] = vec4<element>(load(ROTATED, own_key_at + c));
      cache[at + value] = vec4<element>(load(VALUES, own_key_at + value + c));
    }
  }
  let q = shared_head(ROTATED, b * row_stride() + head * HS4, lane);
  // Of all lanes.
  var maximum = dot_heads(q, shared_head(ROTATED, own_key_at, lane)) * params.scale;
  // Of the lane's keys, as o; the first one has the token's own.
  var sum = select(0.0, 1.0, lane == 0u);
  var o = scale_head(shared_head(VALUES, own_key_at + value, lane), sum);
  for (var block = 0u; block < count; block += LANES) {
    let inside = block + lane < count;
    let key_at = (first + min(block + lane, count - 1u)) * width + key_column;
    let s = select(maximum, dot_heads(q, own_head(CACHE, key_at)) * params.scale, inside);
    let before = maximum;
    maximum = max(maximum, subgroupMax(s));
    let rescale = exp(before - maximum);
    let p = select(0.0, exp(s - maximum), inside);
    sum = fma(sum, rescale, p);
    o = add_head(scale_head(o, rescale), p, own_head(CACHE, key_at + value));
  }
  let total = scale_head(add_lanes(o), 1.0 / subgroupAdd(sum));
  if (lane == 0u) { store_head((b * params.NH + head) * HS4, total); }
}

fn add_lanes(head: Head) -> Head {
  var sum: Head;
  sum.m0 = add_block(head.m0);
  if (BLOCKS > 1u) { sum.m1 = add_block(head.m1); }
  if (BLOCKS > 2u) { sum.m2 = add_block(head.m2); }
  if (BLOCKS > 3u) { sum.m3 = add_block(head.m3); }
  if (BLOCKS > 4u) { sum.m4 = add_block(head.m4); }
  if (BLOCKS > 5u) { sum.m5 = add_block(head.m5); }
  if (BLOCKS > 6u) { sum.m6 = add_block(head.m6); }
  if (BLOCKS > 7u) { sum.m7 = add_block(head.m7); }
  return sum;
}

fn add_block(block: mat4x4<f32>) -> mat4x4<f32> {
  return mat4x4(
    subgroupAdd(block[0]),
    subgroupAdd(block[1]),
    subgroupAdd(block[2]),
    subgroupAdd(block[3]),
  );
}

fn store(i: u32, value: vec4<f32>) { out[i] = vec4<operand>(value); }

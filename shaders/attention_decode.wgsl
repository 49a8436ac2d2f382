// attention_decode: attention of one new token per sequence over its cached keys and values, its own included.
//
//   s[j] = dot(q, k[j]) / sqrt(HS);  out = sum_j softmax(s)[j] v[j],  q and the token's own k rotated by its position
//
// The token's own key comes first, then the others in blocks of WORKGROUP from the sequence's first on, with a running maximum
// and sum, so the result depends on the sequence alone.
//
// Shapes    qkv (B, (NH + 2 NKV) HS) operand, a row holds query, key, value heads, not rotated; table (positions, HS) f32, see
//           rotated_head.wgsl; lengths (B, 2) u32: firstCacheRow, keyCount >= 1, the token's own included, which is its
//           position plus 1; cache (rows, 2 NKV HS) element, a row holds a token's key, value heads; out (B, NH HS) operand.
// Dispatch  (NH, B, 1): a thread has one key of a block for s, then one vec4 of the head and every GROUPS-th key for out.
// Writes    overwrites out, and the token's row of cache (firstCacheRow + keyCount - 1), which nobody reads; computes in f32,
//           in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 1 with one row.
override WORKGROUP: u32; // threads per query head; a power of two, at least 32

struct Params { NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> cache: array<vec4<element>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<operand>>;

const HS4 = HEAD_SIZE / 4u;

var<workgroup> query: array<vec4<f32>, HS4>;
var<workgroup> own_key: array<vec4<f32>, HS4>;
var<workgroup> weights: array<f32, WORKGROUP>;
var<workgroup> values: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn attention_decode(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let head = workgroup.x;
  let b = workgroup.y;
  let heads_per_key = params.NH / params.NKV;
  let kv_head = head / heads_per_key;
  let width = 2u * params.NKV * HS4;
  let key_column = kv_head * HS4;
  let first = lengths[b].x;
  let count = lengths[b].y - 1u; // without the token's own
  let row = b * (params.NH + 2u * params.NKV) * HS4;
  let c = thread % HS4;
  let own_value = vec4<f32>(qkv[row + (params.NH + params.NKV + kv_head) * HS4 + c]);
  if (thread < HS4) {
    let key = rotated(row + (params.NH + kv_head) * HS4, c, count);
    query[c] = rotated(row + head * HS4, c, count) * params.scale;
    own_key[c] = key;
    if (head % heads_per_key == 0u) {
      let at = (first + count) * width + key_column + c;
      cache[at] = vec4<element>(key);
      cache[at + params.NKV * HS4] = vec4<element>(own_value);
    }
  }
  workgroupBarrier();

  let groups = WORKGROUP / HS4;
  let group = thread / HS4;
  let value_column = key_column + params.NKV * HS4 + c;
  var maximum = 0.0;
  for (var i = 0u; i < HS4; i++) { maximum += dot(query[i], own_key[i]); }
  var sum = select(0.0, 1.0, thread == 0u); // over the thread's own keys
  var value = select(vec4(0.0), own_value, group == 0u); // over the thread's group of keys
  for (var block = 0u; block < count; block += WORKGROUP) {
    var s = maximum;
    let inside_block = block + thread < count;
    if (inside_block) {
      let at = (first + block + thread) * width + key_column;
      s = 0.0;
      for (var i = 0u; i < HS4; i += 4u) { // unrolled by hand: naga guards every turn of a loop
        s += dot(query[i], vec4<f32>(cache[at + i]));
        s += dot(query[i + 1u], vec4<f32>(cache[at + i + 1u]));
        if (HS4 % 4u == 0u || i + 2u < HS4) {
          s += dot(query[(i + 2u) % HS4], vec4<f32>(cache[at + i + 2u]));
          s += dot(query[(i + 3u) % HS4], vec4<f32>(cache[at + i + 3u]));
        }
      }
    }
    let before = maximum;
    maximum = max(maximum, reduce_max(s, place));
    let rescale = exp(before - maximum);
    let p = select(0.0, exp(s - maximum), inside_block);
    weights[thread] = p;
    sum = sum * rescale + p;
    value *= rescale;
    workgroupBarrier();
    if (group < groups) {
      let keys = min(WORKGROUP, count - block);
      for (var j = group; j < keys; j += 4u * groups) { // four loads are waited for together
        let four = vec4(j) + groups * vec4(0u, 1u, 2u, 3u);
        let inside = min(four, vec4(keys - 1u));
        let at = (first + block + inside) * width + value_column;
        let there = vec4<f32>(four < vec4(keys));
        value += weights[inside[0]] * there[0] * vec4<f32>(cache[at[0]]);
        value += weights[inside[1]] * there[1] * vec4<f32>(cache[at[1]]);
        value += weights[inside[2]] * there[2] * vec4<f32>(cache[at[2]]);
        value += weights[inside[3]] * there[3] * vec4<f32>(cache[at[3]]);
      }
    }
  }

  values[thread] = value;
  sum = reduce_sum(sum, place); // waits for the values too
  if (thread < HS4) {
    value = vec4(0.0);
    for (var i = 0u; i < groups; i++) { value += values[i * HS4 + thread]; }
    out[(b * params.NH + head) * HS4 + thread] = vec4<operand>(value / sum);
  }
}

// attention_decode: attention of one new row per sequence over its cached keys and values.
//
//   s[j] = dot(q, k[j]) / sqrt(HS);  out = sum_j softmax(s)[j] v[j]
//
// Keys pass in blocks of WORKGROUP from the sequence's first on, with a running maximum and sum, so the result depends on
// the sequence alone.
//
// Shapes    qkv (B, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; cache (rows, 2 NKV HS) element, a row
//           holds a token's key, value heads; lengths (B, 2) u32: firstCacheRow, keyCount >= 1; out (B, NH HS) operand.
// Dispatch  (NH, B, 1): a thread has one key of a block for s, then one vec4 of the head and every GROUPS-th key for out.
// Writes    overwrites out; computes in f32, in a fixed order.
// Source    Dao 2023, arXiv:2307.08691, algorithm 1 with one row.
override WORKGROUP: u32; // threads per query head; a power of two, at least 32

struct Params { NH: u32, NKV: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> cache: array<vec4<element>>;
@group(0) @binding(3) var<storage, read> lengths: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<operand>>;

const HS4 = HEAD_SIZE / 4u;
const LOWEST = -3.0e38;

var<workgroup> query: array<vec4<f32>, HS4>;
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
  let width = 2u * params.NKV * HS4;
  let key_column = head / (params.NH / params.NKV) * HS4;
  let first = lengths[b].x;
  let count = lengths[b].y;
  if (thread < HS4) {
    let row = b * (params.NH + 2u * params.NKV) * HS4;
    query[thread] = vec4<f32>(qkv[row + head * HS4 + thread]) * params.scale;
  }
  workgroupBarrier();

  let groups = WORKGROUP / HS4;
  let group = thread / HS4;
  let value_column = key_column + params.NKV * HS4 + thread % HS4;
  var maximum = LOWEST;
  var sum = 0.0; // over the thread's own keys
  var value = vec4(0.0); // over the thread's group of keys
  for (var block = 0u; block < count; block += WORKGROUP) {
    var s = LOWEST;
    if (block + thread < count) {
      let at = (first + block + thread) * width + key_column;
      s = 0.0;
      for (var c = 0u; c < HS4; c += 4u) { // unrolled by hand: naga guards every turn of a loop
        s += dot(query[c], vec4<f32>(cache[at + c]));
        s += dot(query[c + 1u], vec4<f32>(cache[at + c + 1u]));
        if (HS4 % 4u == 0u || c + 2u < HS4) {
          s += dot(query[(c + 2u) % HS4], vec4<f32>(cache[at + c + 2u]));
          s += dot(query[(c + 3u) % HS4], vec4<f32>(cache[at + c + 3u]));
        }
      }
    }
    let before = maximum;
    maximum = max(maximum, reduce_max(s, place));
    let rescale = exp(before - maximum);
    let p = exp(s - maximum);
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

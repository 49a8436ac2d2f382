// rope_cache: what rope and then kv_cache_write do, in one launch, for the new tokens of decoding.
//
//   (a, b) = (head[i], head[i + HS/2]) of every head of row n
//   queries       (a, b) <- rotation by positions[n] * frequency[i], in place
//   keys, values  cache[cache_rows[n]] = the rotated keys, then the values as they are
//
// Shapes    qkv (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; table (positions, HS) f32, a row holds
//           HS/2 cosines, then HS/2 sines; positions, cache_rows (N) u32, cache_rows distinct; cache (rows, 2 NKV HS)
//           element. HS a multiple of 8.
// Dispatch  one thread per four pairs of elements, in a grid of two dimensions.
// Writes    overwrites the query heads of qkv and the rows cache_rows of cache; computes in f32.
// Source    Su et al. 2021, arXiv:2104.09864, eq. 34, pairing i with i + HS/2 as Hugging Face does.
override WORKGROUP: u32; // threads per workgroup

struct Params { N: u32, NH: u32, NKV: u32, HS: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> qkv: array<vec4<operand>>;
@group(0) @binding(5) var<storage, read_write> cache: array<vec4<element>>;

@compute @workgroup_size(WORKGROUP)
fn rope_cache(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let half4 = params.HS / 8u; // vec4s in half a head
  let heads = params.NH + 2u * params.NKV;
  let n = index / (heads * half4);
  if (n >= params.N) { return; }
  let head = index / half4 - n * heads;
  let i = index % half4;
  let at = (n * heads + head) * 2u * half4 + i;
  let a = vec4<f32>(qkv[at]);
  let b = vec4<f32>(qkv[at + half4]);
  let angle = positions[n] * 2u * half4 + i;
  let cosine = table[angle];
  let sine = table[angle + half4];
  let turned_a = a * cosine - b * sine;
  let turned_b = b * cosine + a * sine;
  if (head < params.NH) {
    qkv[at] = vec4<operand>(turned_a);
    qkv[at + half4] = vec4<operand>(turned_b);
    return;
  }
  let is_key = head < params.NH + params.NKV;
  let to = (cache_rows[n] * 2u * params.NKV + head - params.NH) * 2u * half4 + i;
  cache[to] = vec4<element>(select(a, turned_a, is_key));
  cache[to + half4] = vec4<element>(select(b, turned_b, is_key));
}

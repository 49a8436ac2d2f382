// rope: rotate every pair of elements of every query and key head by the token's position, in place. rope_forward is
// direction 1; rope_backward is direction -1, for the gradient of a rotation is the rotation back.
//
//   (a, b) = (qkv[n,h,i], qkv[n,h,i + HS/2])
//   (a, b) <- (a * cos - b * sin, b * cos + a * sin),  cos, sin of positions[n] * frequency[i]
//
// Cos and sin come from a table made in double precision: a GPU's own may be wrong by 2^-11 beyond pi, and by anything at
// angles in the thousands, which long sequences reach.
//
// Shapes    qkv (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; table (positions, HS) f32, a row holds
//           HS/2 cosines, then HS/2 sines; positions (N) u32. HS a multiple of 8.
// Dispatch  one thread per four pairs, in a grid of two dimensions.
// Writes    overwrites the query and key heads; computes in f32.
// Source    Su et al. 2021, arXiv:2104.09864, eq. 34, pairing i with i + HS/2 as Hugging Face does.
override WORKGROUP: u32; // threads per workgroup

struct Params {
  N: u32,
  HEADS: u32, // query and key heads
  HS: u32,
  ROW: u32, // elements of a row of qkv
  direction: f32, // 1 or -1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> qkv: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn rope(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let half4 = params.HS / 8u; // vec4s in half a head
  let n = index / (params.HEADS * half4);
  if (n >= params.N) { return; }
  let head = index / half4 - n * params.HEADS;
  let i = index % half4;
  let angle = positions[n] * 2u * half4 + i;
  let cosine = table[angle];
  let sine = table[angle + half4] * params.direction;
  let at = n * (params.ROW / 4u) + head * 2u * half4 + i;
  let a = vec4<f32>(qkv[at]);
  let b = vec4<f32>(qkv[at + half4]);
  qkv[at] = vec4<operand>(a * cosine - b * sine);
  qkv[at + half4] = vec4<operand>(b * cosine + a * sine);
}

// rotated_head: a query or key head of qkv on its way into attention_decode. No kernel of its own: it stands behind the kernels
// that have qkv, table and HS4.
//
//   (a, b) = (head[i], head[i + HS/2]);  rotated by position * frequency[i], as in rope.wgsl
//
// Shapes    table (positions, HS) f32, a row holds HS/2 cosines, then HS/2 sines. HS a multiple of 8.
// Source    Su et al. 2021, arXiv:2104.09864, eq. 34, pairing i with i + HS/2 as Hugging Face does.

// Vec4 c of the head at vec4 `at`.
fn rotated(at: u32, c: u32, position: u32) -> vec4<f32> {
  let half4 = HS4 / 2u; // vec4s in half a head
  let i = c % half4;
  let a = vec4<f32>(qkv[at + i]);
  let b = vec4<f32>(qkv[at + half4 + i]);
  let angle = position * HS4 + i;
  let cosine = table[angle];
  let sine = table[angle + half4];
  return select(b * cosine + a * sine, a * cosine - b * sine, c < half4);
}

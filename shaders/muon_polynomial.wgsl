// muon_polynomial: what a Newton-Schulz step multiplies Muon's direction x with.
//
//   p[i,j] = A (i == j) + B gram[i,j] + C square[i,j]          gram = x x^T, square = gram gram, so that
//   p x    = A x + B (x x^T) x + C (x x^T)^2 x
//
// The first step is of s x, with s = scale: its gram is s^2 times that of x, its square s^4 times, and p s times what it would
// be. So no pass over x is needed to scale it. Sums stay finite up to a norm of x of about 1e9.
//
// Shapes    gram (N, stride) f32; scale (1) f32; square (N, stride) f32, which becomes p. stride a multiple of 4.
// Dispatch  one thread per 4 elements: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    overwrites square.
// Source    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, whose A, B and C are torch.optim.Muon's.
override WORKGROUP: u32;

struct Params { N: u32, stride4: u32, begins: u32 } // begins: 1 in the first step

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gram: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> square: array<vec4<f32>>;

const A = 3.4445;
const B = -4.775;
const C = 2.0315;

@compute @workgroup_size(WORKGROUP)
fn muon_polynomial(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.N * params.stride4) { return; }
  let s = select(1.0, scale[0], params.begins == 1u);
  let column = 4u * (i % params.stride4) + vec4(0u, 1u, 2u, 3u);
  let diagonal = select(vec4(0.0), vec4(A), column == vec4(i / params.stride4));
  square[i] = s * (diagonal + s * s * (B * gram[i] + C * s * s * square[i]));
}

// muon_norm: what Muon's direction is multiplied by, so that no singular value is above 1.
//
//   scale = 1 / max(sqrt(sum_n gram[n,n]), EPSILON)            gram = x x^T, so its trace is the sum of x's squares
//
// Shapes    gram (N, stride) f32; scale (1) f32.
// Dispatch  (1, 1, 1).
// Writes    overwrites scale.
// Source    torch.optim.Muon, which divides by the Frobenius norm.
override WORKGROUP: u32; // threads; a power of two

struct Params { N: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gram: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;

const EPSILON = 1e-7;

@compute @workgroup_size(WORKGROUP)
fn muon_norm(place: Place) {
  var sum = 0.0;
  for (var n = place.thread; n < params.N; n += WORKGROUP) { sum += gram[n * params.stride + n]; }
  sum = reduce_sum(sum, place);
  if (place.thread == 0u) { scale[0] = 1.0 / max(sqrt(sum), EPSILON); }
}

// logprob_backward: turns a chunk of logits into the gradient of the loss with respect to them, in place.
//
//   forward  logprob[s]    = logits[r,target[s]] - log sum_v exp(logits[r,v])
//   with     coefficient s = dscore[sequence[s]] * weight[s]
//   here     dlogits[r,v]  = sum_s coefficient[s] * ((v == target[s]) - exp(logits[r,v] - lse[r]))
//
// Shapes    as logprob_forward; dscore (B) f32, the loss by each sequence's score. Columns V..stride become 0.
// Dispatch  one workgroup per row of the chunk: (R, 1, 1).
// Writes    overwrites logits.
override WORKGROUP: u32; // threads per row

struct Params { V: u32, stride: u32, first_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> row_scored: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> scored: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> dscore: array<f32>;
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;

const NONE = 0xffffffffu;

struct Term { target_token: u32, coefficient: f32 }

fn term(position: u32) -> Term {
  if (position == NONE) { return Term(NONE, 0.0); }
  let entry = scored[position];
  return Term(entry.y, dscore[entry.z] * bitcast<f32>(entry.w));
}

@compute @workgroup_size(WORKGROUP)
fn logprob_backward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = params.first_row + workgroup.x;
  let base = workgroup.x * params.stride;
  let first = term(row_scored[row].x);
  let second = term(row_scored[row].y);
  let total = first.coefficient + second.coefficient;
  for (var v = thread; v < params.stride; v += WORKGROUP) {
    var gradient = 0.0;
    if (v < params.V) {
      gradient = -total * exp(logits[base + v] - lse[row]);
      if (v == first.target_token) { gradient += first.coefficient; }
      if (v == second.target_token) { gradient += second.coefficient; }
    }
    logits[base + v] = gradient;
  }
}

// logprob_backward: turns a chunk of logits into the gradient of the loss with respect to them, in place.
//
//   forward  logprob[s]    = logits[r,target[s]] - largest[r] - log_sum[r]
//   with     coefficient s = dscore[sequence[s]] * weight[s]
//   here     dlogits[r,v]  = sum_s coefficient[s] * ((v == target[s]) - exp(logits[r,v] - largest[r] - log_sum[r]))
//
// Shapes    as logprob_forward; dscore (B) f32, the loss by each sequence's score. Columns V..stride become 0.
// Dispatch  one workgroup per row of the chunk, in a grid of two dimensions.
// Writes    overwrites logits.
override WORKGROUP: u32; // threads per row

struct Params { R: u32, V: u32, stride: u32, first_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lse: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> row_scored: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> scored: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> dscore: array<f32>;
@group(0) @binding(5) var<storage, read_write> logits: array<vec4<f32>>;

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
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let r = workgroup.y * workgroups.x + workgroup.x;
  if (r >= params.R) { return; }
  let row = params.first_row + r;
  let base = r * (params.stride / 4u);
  let row_lse = lse[row];
  let first = term(row_scored[row].x);
  let second = term(row_scored[row].y);
  let total = first.coefficient + second.coefficient;
  for (var v4 = thread; v4 < params.stride / 4u; v4 += WORKGROUP) {
    let v = 4u * v4 + vec4(0u, 1u, 2u, 3u);
    var gradient = -total * exp(logits[base + v4] - row_lse[0] - row_lse[1]);
    gradient += select(vec4(0.0), vec4(first.coefficient), v == vec4(first.target_token));
    gradient += select(vec4(0.0), vec4(second.coefficient), v == vec4(second.target_token));
    logits[base + v4] = select(vec4(0.0), gradient, v < vec4(params.V));
  }
}

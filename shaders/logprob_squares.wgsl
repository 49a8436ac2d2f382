// logprob_squares: how sure the model is at each scored position, whatever the token: the log of the sum of squared probabilities.
//
//   squares[s] = log sum_v exp(2 (logits[r,v] - largest[r] - log_sum[r]))    for the (at most two) scored positions s of row r
//
// Shapes    as logprob_forward, which wrote lse; squares (S) f32.
// Dispatch  one workgroup per row of the chunk, in a grid of two dimensions.
// Writes    overwrites squares of the rows' positions; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { R: u32, V: u32, stride: u32, first_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> lse: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> row_scored: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> squares: array<f32>;

const NONE = 0xffffffffu;

@compute @workgroup_size(WORKGROUP)
fn logprob_squares(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let r = workgroup.y * workgroups.x + workgroup.x;
  if (r >= params.R) { return; }
  let base = r * (params.stride / 4u);
  let row = params.first_row + r;
  let row_lse = lse[row];
  var own_sum = 0.0;
  for (var v4 = thread; 4u * v4 < params.V; v4 += WORKGROUP) {
    let inside = 4u * v4 + vec4(0u, 1u, 2u, 3u) < vec4(params.V);
    let p = select(vec4(0.0), exp(logits[base + v4] - row_lse[0] - row_lse[1]), inside);
    own_sum += dot(p, p);
  }
  let sum = reduce_sum(own_sum, place);
  if (thread == 0u) {
    let positions = row_scored[row];
    if (positions.x != NONE) { squares[positions.x] = log(sum); }
    if (positions.y != NONE) { squares[positions.y] = log(sum); }
  }
}

// logprob_forward: log-probabilities of the scored tokens from a chunk of logits.
//
//   lse[r]      = log sum_v exp(logits[r,v])
//   logprob[s]  = logits[r,target[s]] - lse[r]      for the (at most two) scored positions s of row r
//
// A row has two scored positions where a shared prompt is scored for both branches, or where the branches part.
//
// Shapes    logits (R, stride) f32, the first V columns count; row_scored (rows, 2) u32, positions or NONE; scored (S, 4) u32:
//           row, target token, sequence, bits of the weight; lse (rows) and logprob (S) f32. The chunk is rows first_row ...
// Dispatch  one workgroup per row of the chunk: (R, 1, 1).
// Writes    overwrites lse of its rows and logprob of their positions; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { V: u32, stride: u32, first_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> row_scored: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> scored: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> logprob: array<f32>;

const NONE = 0xffffffffu;
const LOWEST = -3.4028234e38;

@compute @workgroup_size(WORKGROUP)
fn logprob_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let base = workgroup.x * params.stride;
  var largest = LOWEST;
  for (var v = thread; v < params.V; v += WORKGROUP) { largest = max(largest, logits[base + v]); }
  largest = reduce_max(largest, place);
  var sum = 0.0;
  for (var v = thread; v < params.V; v += WORKGROUP) { sum += exp(logits[base + v] - largest); }
  sum = reduce_sum(sum, place);
  if (thread == 0u) {
    let row = params.first_row + workgroup.x;
    // The maximum is added last: largest + log(sum) first would round away the difference to the target's logit.
    let log_sum = log(sum);
    lse[row] = largest + log_sum;
    let positions = row_scored[row];
    if (positions.x != NONE) {
      logprob[positions.x] = logits[base + scored[positions.x].y] - largest - log_sum;
    }
    if (positions.y != NONE) {
      logprob[positions.y] = logits[base + scored[positions.y].y] - largest - log_sum;
    }
  }
}

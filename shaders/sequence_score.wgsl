// sequence_score: what a loss and its metrics need of each sequence, from the log-probs of its tokens.
//
//   scores[slot] = (sum_s weight[s] * logprob[s], sum over completion tokens of logprob[s], sum over all of logprob[s], 0)
//
// Shapes    sequences (B, 4) u32: first scored position, first one of the completion, end, slot to write; scored (S, 4) u32
//           with the weight's bits last; logprob (S) f32; scores (slots, 4) f32.
// Dispatch  one workgroup per sequence, `count` from sequence `first`, in a grid of two dimensions.
// Writes    overwrites the slots; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per sequence; a power of two

struct Params { first: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sequences: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scored: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> logprob: array<f32>;
@group(0) @binding(4) var<storage, read_write> scores: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn sequence_score(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let index = workgroup.y * workgroups.x + workgroup.x;
  if (index >= params.count) { return; }
  let sequence = sequences[params.first + index];
  var sum = vec4<f32>();
  for (var s = sequence.x + thread; s < sequence.z; s += WORKGROUP) {
    let value = logprob[s];
    sum += vec4<f32>(bitcast<f32>(scored[s].w) * value, select(0.0, value, s >= sequence.y), value, 0.0);
  }
  sum = reduce_sum(sum, place);
  if (thread == 0u) { scores[sequence.w] = sum; }
}

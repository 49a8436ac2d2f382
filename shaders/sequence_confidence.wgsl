// sequence_confidence: how likely the policy finds each completion, beside what else it might have said; WPO's weight is its
// exponential (Zhou et al. 2024, arXiv:2406.11827, eq. 2).
//
//   scores[slot].w = mean over completion tokens of (logprob[s] - squares[s]), 0 of a sequence without any
//
// Shapes    as sequence_score; squares (S) f32 from logprob_squares.
// Dispatch  one workgroup per sequence, `count` from sequence `first`, in a grid of two dimensions.
// Writes    overwrites the fourth number of the slots, behind sequence_score; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per sequence; a power of two

struct Params { first: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sequences: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> logprob: array<f32>;
@group(0) @binding(3) var<storage, read> squares: array<f32>;
@group(0) @binding(4) var<storage, read_write> scores: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn sequence_confidence(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let index = workgroup.y * workgroups.x + workgroup.x;
  if (index >= params.count) { return; }
  let sequence = sequences[params.first + index];
  var own_sum = 0.0;
  for (var s = sequence.y + thread; s < sequence.z; s += WORKGROUP) { own_sum += logprob[s] - squares[s]; }
  let sum = reduce_sum(own_sum, place);
  if (thread == 0u) { scores[sequence.w].w = sum / f32(max(1u, sequence.z - sequence.y)); }
}

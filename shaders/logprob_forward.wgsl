// logprob_forward: log-probabilities of the scored tokens from a chunk of logits.
//
//   largest[r]  = max_v logits[r,v];  log_sum[r] = log sum_v exp(logits[r,v] - largest[r])
//   logprob[s]  = logits[r,target[s]] - largest[r] - log_sum[r]    for the (at most two) scored positions s of row r
//
// A row has two scored positions where a shared prompt is scored for both branches, or where the branches part. One pass over
// the logits: a thread's sum is rescaled when its maximum grows (Milakov & Gimelshein 2018, arXiv:1805.02867).
//
// Shapes    logits (R, stride) f32, the first V columns count, stride a multiple of 4; row_scored (rows, 2) u32, positions or
//           NONE; scored (S, 4) u32: row, target token, sequence, bits of the weight; lse (rows, 2): largest and log_sum, apart
//           since their sum would round away the difference to the logits; logprob (S) f32. The chunk is rows first_row ...
// Dispatch  one workgroup per row of the chunk, in a grid of two dimensions.
// Writes    overwrites lse of its rows and logprob of their positions; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { R: u32, V: u32, stride: u32, first_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> row_scored: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> scored: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> logprob: array<f32>;

const NONE = 0xffffffffu;
const LOWEST = -3.4028234e38;

@compute @workgroup_size(WORKGROUP)
fn logprob_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let r = workgroup.y * workgroups.x + workgroup.x;
  if (r >= params.R) { return; }
  let base = r * (params.stride / 4u);
  var own = LOWEST;
  var own_sum = 0.0;
  for (var v4 = thread; 4u * v4 < params.V; v4 += WORKGROUP) {
    let inside = 4u * v4 + vec4(0u, 1u, 2u, 3u) < vec4(params.V);
    let values = select(vec4(LOWEST), logits[base + v4], inside);
    let before = own;
    own = max(own, max(max(values.x, values.y), max(values.z, values.w)));
    let weights = select(vec4(0.0), exp(values - own), inside);
    own_sum = own_sum * exp(before - own) + (weights.x + weights.y) + (weights.z + weights.w);
  }
  let largest = reduce_max(own, place);
  let sum = reduce_sum(own_sum * exp(own - largest), place);
  if (thread == 0u) {
    let row = params.first_row + r;
    let log_sum = log(sum);
    lse[row] = vec2(largest, log_sum);
    let positions = row_scored[row];
    if (positions.x != NONE) {
      logprob[positions.x] = logit(base, scored[positions.x].y) - largest - log_sum;
    }
    if (positions.y != NONE) {
      logprob[positions.y] = logit(base, scored[positions.y].y) - largest - log_sum;
    }
  }
}

fn logit(base: u32, v: u32) -> f32 { return logits[base + v / 4u][v % 4u]; }

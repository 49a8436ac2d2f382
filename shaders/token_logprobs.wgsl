// token_logprobs: the log-probability of one token per row, and the likeliest tokens with theirs.
//
//   logprob[v] = logits[b,v] - log sum_v exp(logits[b,v])
//   out[b] = logprob[chosen[b]], then TOP times token, logprob[token], the likeliest first, the lowest id first in a tie
//
// Shapes    logits (B, stride) f32, the first V columns count; chosen (B) u32; out (B, STEPS, 1 + 2 TOP) u32, numbers as
//           their bits; TOP at most V.
// Dispatch  one workgroup per row: (B, 1, 1). Every further token is one more pass over the row.
// Writes    overwrites column `step` of out; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { V: u32, stride: u32, TOP: u32, STEPS: u32, step: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

const LOWEST = -3.4028234e38;

@compute @workgroup_size(WORKGROUP)
fn token_logprobs(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let b = workgroup.x;
  let row = b * params.stride;
  var largest = LOWEST;
  for (var v = thread; v < params.V; v += WORKGROUP) { largest = max(largest, logits[row + v]); }
  largest = reduce_max(largest, place);
  var sum = 0.0;
  for (var v = thread; v < params.V; v += WORKGROUP) { sum += exp(logits[row + v] - largest); }
  let log_sum = log(reduce_sum(sum, place));

  var at = (b * params.STEPS + params.step) * (1u + 2u * params.TOP);
  if (thread == 0u) { out[at] = bitcast<u32>(logits[row + chosen[b]] - largest - log_sum); }
  at++;
  // Those not listed yet come behind the last one: lower, or equal with a higher id. Ids are exact as floats.
  var last = largest;
  var last_token = -1.0;
  for (var i = 0u; i < params.TOP; i++) {
    var best = LOWEST;
    var best_token = LOWEST;
    for (var v = thread; v < params.V; v += WORKGROUP) {
      let value = logits[row + v];
      if ((value < last || (value == last && f32(v) > last_token)) && value > best) {
        best = value;
        best_token = -f32(v); // the first in the thread's order is its lowest
      }
    }
    last = reduce_max(best, place);
    last_token = -reduce_max(select(LOWEST, best_token, best == last), place);
    if (thread == 0u) {
      out[at] = u32(last_token);
      out[at + 1u] = bitcast<u32>(last - largest - log_sum);
    }
    at += 2u;
  }
}

// sample: choose the next token of every row, leave behind the distribution it was drawn from, and move the row's sequence one
// token on, so that decoding steps follow each other without the CPU.
//
//   s[v] = logit[v] + bias[v]; of a token seen before, in the prompt or since, s * penalty below 0 and s / penalty above;
//          less frequency_penalty * times[v], and presence_penalty where times[v] > 0: how often it was drawn; then divided
//          by the temperature
//   kept = the tokens with at least min_p times the probability of the likeliest; of those the ones with fewer than top_k
//          larger ones, and of those the ones whose larger ones hold less than top_p of the probability; the largest always
//   p[v] = softmax of s over kept;  next = argmax over kept of s[v] - log(e[v]), e[v] exponentially distributed
//
// The race of exponentials draws v with probability p[v] exactly (it is the Gumbel-max trick), needs no running sum over
// the vocabulary, and is greedy decoding but for the noise. e[v] is a hash of (seed, sequence, position, v): a draw does not
// depend on the batch. Temperature 0 is greedy; the lowest id wins a tie.
//
// Both filters ask for the lowest score whose larger ones weigh less than a limit, in tokens or in probability. It is found
// two bits at a time: the bits of a float, turned so that they sort as it does, are the digits of the search.
//
// A row in which a logit or a score is NaN or +infinity, or in which no score is finite, has no distribution: next is NONE.
//
// Shapes    logits (B, stride) f32, V of each row; counts (slots, counts_stride) of TokenCounts, the row's own slot counts; settings
//           (B); lengths (B, 2) u32: firstCacheRow, and the tokens so far, whose last one's position is part of the key of the
//           noise; next (B) u32; history (B, history_stride) u32: how many were drawn, then which.
// Dispatch  one workgroup per row: (B, 1, 1).
// Writes    overwrites next; logits become p, 0 where a token is not kept; adds next to counts, unless it is NONE; adds 1 to
//           the tokens of lengths, and next to history. Sums in f32, in a fixed order.
// Source    Holtzman et al. 2020, arXiv:1904.09751 (top-p); Nguyen et al. 2024, arXiv:2407.01082 (min-p); Keskar et al. 2019,
//           arXiv:1909.05858 (penalty, as Hugging Face has it for negative scores); Maddison et al. 2014, arXiv:1411.0030
//           (race); Jarzynski & Olano 2020, JCGT 9(3) (hash). Frequency and presence penalty: the OpenAI API.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { V: u32, stride: u32, counts_stride: u32, history_stride: u32 }
struct Settings {
  temperature: f32,
  top_k: u32, // 0: off
  top_p: f32, // 1: off
  min_p: f32, // 0: off
  repetition_penalty: f32, // 1: off
  frequency_penalty: f32, // 0: off
  presence_penalty: f32, // 0: off
  seed: u32,
  sequence: u32,
  slot: u32,
}
struct TokenCounts {
  times: u32, // how often the token was drawn; and SEEN if it is anywhere before
  bias: f32,
}
struct Candidate { score: f32, token: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> settings: array<Settings>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<TokenCounts>;
@group(0) @binding(4) var<storage, read_write> next: array<u32>;
@group(0) @binding(5) var<storage, read_write> lengths: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> history: array<u32>;

const LOWEST = -3.4e38;
const HIGHEST = 0x1.fffffep+127;
const NONE = 0xffffffffu;
const SEEN = 0x80000000u;

var<workgroup> candidates: array<Candidate, WORKGROUP>;

// The better of every thread's candidate: the larger score, then the lower token.
fn best(own: Candidate, thread: u32) -> Candidate {
  candidates[thread] = own;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (thread < stride) {
      let a = candidates[thread];
      let b = candidates[thread + stride];
      if (b.score > a.score || (b.score == a.score && b.token < a.token)) { candidates[thread] = b; }
    }
    workgroupBarrier();
  }
  let result = candidates[0];
  workgroupBarrier();
  return result;
}

// A number that sorts as the float does.
fn rank(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// Whether a number is NaN or +infinity: they rank above all others, NaN with a sign below all. Comparing would not do, for
// WGSL lets a compiler assume that there are no such numbers.
fn is_broken(number: f32) -> bool {
  let ranked = rank(number);
  return ranked >= 0xff800000u || ranked < 0x007fffffu;
}

// The probability, up to a factor, of the tokens from a rank on.
fn mass_from(lowest: u32, row: u32, largest: f32, place: Place) -> f32 {
  var mass = 0.0;
  for (var v = place.thread; v < params.V; v += WORKGROUP) {
    let score = logits[row + v];
    mass += select(0.0, exp(score - largest), rank(score) >= lowest);
  }
  return reduce_sum(vec3(mass), place).x;
}

// The largest rank such that the tokens from it on weigh at least `limit`, in tokens or by mass.
fn find_rank(limit: f32, by_mass: bool, row: u32, largest: f32, place: Place) -> u32 {
  var found = 0u;
  for (var digit = 1u << 30u; digit > 0u; digit >>= 2u) {
    let tried = found + digit * vec3(1u, 2u, 3u);
    var weight = vec3(0.0);
    for (var v = place.thread; v < params.V; v += WORKGROUP) {
      let score = logits[row + v];
      let own = select(1.0, exp(score - largest), by_mass);
      weight += select(vec3(0.0), vec3(own), vec3(rank(score)) >= tried);
    }
    let reached = reduce_sum(weight, place) >= vec3(limit);
    found += digit * dot(vec3<u32>(reached), vec3(1u));
  }
  return found;
}

// 32 random bits of a key, each of which changes all of them.
fn hash(key: vec4<u32>) -> u32 {
  var v = key * 1664525u + 1013904223u;
  v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
  v ^= v >> vec4(16u);
  v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
  return v.x;
}

// Logarithm of an exponentially distributed number. The race is won by small ones: those keep their digits.
fn log_exponential(bits: u32) -> f32 {
  let uniform_number = (f32(bits) + 0.5) * 0x1p-32;
  let series = uniform_number + 0.5 * uniform_number * uniform_number;
  let exact = -log(1.0 - min(uniform_number, 0.99999994));
  return log(select(exact, series, uniform_number < 0x1p-10));
}

@compute @workgroup_size(WORKGROUP)
fn sample(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let b = workgroup.x;
  let row = b * params.stride;
  let chosen = settings[b];
  let slot = chosen.slot * params.counts_stride;
  let greedy = chosen.temperature == 0.0;
  let position = lengths[b].y - 1u;

  var own = Candidate(LOWEST, thread);
  for (var v = thread; v < params.V; v += WORKGROUP) {
    let before = counts[slot + v];
    let logit = logits[row + v];
    var score = logit + before.bias;
    if (before.times >= SEEN) {
      score = select(score / chosen.repetition_penalty, score * chosen.repetition_penalty, score < 0.0);
    }
    let times = f32(before.times & ~SEEN);
    score -= chosen.frequency_penalty * times + chosen.presence_penalty * min(times, 1.0);
    if (!greedy) { score /= chosen.temperature; }
    logits[row + v] = score;
    if (is_broken(logit) || is_broken(score)) { own = Candidate(HIGHEST, NONE); }
    else if (score > own.score) { own = Candidate(score, v); }
  }
  let largest = best(own, thread);

  var lowest = 0u;
  var mass = 1.0;
  var token = largest.token;
  if (!greedy) {
    if (chosen.min_p > 0.0) { lowest = rank(largest.score + log(chosen.min_p)); }
    if (chosen.top_k > 0u) {
      lowest = max(lowest, find_rank(f32(chosen.top_k), false, row, largest.score, place));
    }
    if (chosen.top_p < 1.0) {
      let limit = chosen.top_p * mass_from(lowest, row, largest.score, place);
      lowest = max(lowest, find_rank(limit, true, row, largest.score, place));
    }
    lowest = min(lowest, rank(largest.score));

    mass = mass_from(lowest, row, largest.score, place);
    own = Candidate(LOWEST, largest.token);
    for (var v = thread; v < params.V; v += WORKGROUP) {
      let score = logits[row + v];
      if (rank(score) < lowest) { continue; }
      let noise = log_exponential(hash(vec4(v, position, chosen.sequence, chosen.seed)));
      let race = score - largest.score - noise;
      if (race > own.score) { own = Candidate(race, v); }
    }
    token = best(own, thread).token;
  }
  if (largest.token == NONE || largest.score == LOWEST) { token = NONE; }
  for (var v = thread; v < params.V; v += WORKGROUP) {
    let score = logits[row + v];
    let p = select(0.0, exp(score - largest.score) / mass, rank(score) >= lowest);
    logits[row + v] = select(p, f32(v == token), greedy);
  }
  if (thread == 0u) {
    next[b] = token;
    lengths[b].y++;
    let drawn = b * params.history_stride;
    if (history[drawn] + 1u < params.history_stride) { // a full row must not reach into the next one
      history[drawn]++;
      history[drawn + history[drawn]] = token;
    }
    if (token != NONE) { counts[slot + token].times = (counts[slot + token].times | SEEN) + 1u; }
  }
}

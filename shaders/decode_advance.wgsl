// decode_advance: move every sequence of a batch one token on, so that decoding steps follow each other without the CPU.
//
//   history[b,step] = next[b];  positions[b] and keyCount[b] grow by 1
//
// Shapes    next (B) u32; history (B, STEPS) u32; positions (B) u32; lengths (B, 2) u32: firstCacheRow, keyCount.
// Dispatch  one thread per sequence.
// Writes    column `step` of history; adds 1 to the others in place.
override WORKGROUP: u32; // threads per workgroup

struct Params { B: u32, STEPS: u32, step: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> next: array<u32>;
@group(0) @binding(2) var<storage, read_write> history: array<u32>;
@group(0) @binding(3) var<storage, read_write> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> lengths: array<vec2<u32>>;

@compute @workgroup_size(WORKGROUP)
fn decode_advance(@builtin(global_invocation_id) id: vec3<u32>) {
  let b = id.x;
  if (b >= params.B) { return; }
  history[b * params.STEPS + params.step] = next[b];
  positions[b]++;
  lengths[b].y++;
}

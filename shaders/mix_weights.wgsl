// mix_weights: moves weights of a reference towards those of the policy.
//
//   reference[i] = alpha * policy[i] + rest * reference[i]                      rest = 1 - alpha
//
// Shapes    policy (length) source; reference (length) f32; length a multiple of 4 or padded.
// Dispatch  one thread per 4 elements: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    updates reference: with alpha 1 it is the policy, with alpha 0 it stays.
// Source    TR-DPO (Gorbatovski et al. 2024, arXiv:2404.09656), as TRL's SyncRefModelCallback.
override WORKGROUP: u32;

struct Params { length4: u32, alpha: f32, rest: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> policy: array<vec4<source>>;
@group(0) @binding(2) var<storage, read_write> reference: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn mix_weights(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.length4) { return; }
  reference[i] = params.alpha * vec4<f32>(policy[i]) + params.rest * reference[i];
}

// sft_loss: next-token training: the loss is the negative score of every sequence, whose weights already hold the mean.
//
//   loss = -sum_b score[b]      dscore[b] = -1
//
// Shapes    state: the optimizer's, for the loss scale; dscore (B) f32, the derivative by each sequence's score.
// Dispatch  one thread per sequence: (ceil(count / 64), 1, 1), from sequence `first`.
// Writes    overwrites dscore of its sequences, with the loss scale.
struct Params { first: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: State;
@group(0) @binding(2) var<storage, read_write> dscore: array<f32>;

@compute @workgroup_size(64)
fn sft_loss(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < params.count) { dscore[params.first + id.x] = -state.loss_scale; }
}

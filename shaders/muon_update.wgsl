// muon_update: moves a matrix in an arena along Muon's direction, with decoupled weight decay.
//
//   w[r,c] = w[r,c] * (1 - lr * weight_decay) - step * x[r,c]   x[c,r] where R > C
//
// Shapes    weight f32, the matrix is (R, C) from element `first` on; state after grad_norm; x (min(R, C), stride) f32.
// Dispatch  one thread per weight: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    updates weight; nothing where grad_norm skipped the step.
// Source    torch.optim.Muon.
override WORKGROUP: u32;

struct Params { R: u32, C: u32, stride: u32, first: u32, lr: f32, weight_decay: f32, step: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn muon_update(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.R * params.C || state.multiplier == 0.0) { return; }
  let row = i / params.C;
  let column = i % params.C;
  let turned = params.R > params.C;
  let direction = x[select(row * params.stride + column, column * params.stride + row, turned)];
  let at = params.first + i;
  weight[at] = weight[at] * (1.0 - params.lr * params.weight_decay) - params.step * direction;
}

// muon_direction: the momentum of a matrix in an arena, and the direction that Muon's update begins with.
//
//   g      = multiplier * gradient[r,c]
//   m[r,c] = m + (1 - momentum) * (g - m)
//   x[r,c] = g + momentum * (m - g)                            Nesterov's; x[c,r] where R > C: x has no more rows than columns
//
// Shapes    gradient, m f32, the matrix is (R, C) from element `first` on; state after grad_norm; x (min(R, C), stride) f32,
//           stride = max(R, C) rounded up to a multiple of 4, its padding is set to 0.
// Dispatch  one thread per element of x: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    updates m, overwrites x; nothing where grad_norm skipped the step.
// Source    torch.optim.Muon.
override WORKGROUP: u32;

struct Params { R: u32, C: u32, stride: u32, first: u32, momentum: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn muon_direction(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let turned = params.R > params.C;
  // Neighbouring threads have neighbours in the arena, which is read and written three times.
  let width = select(params.stride, params.C, turned);
  if (i >= min(params.R, params.C) * params.stride || state.multiplier == 0.0) { return; }
  let row = i / width;
  let column = i % width;
  var value = 0.0;
  if (row < params.R && column < params.C) {
    let at = params.first + row * params.C + column;
    let g = state.multiplier * gradient[at];
    let mean = m[at] + (1.0 - params.momentum) * (g - m[at]);
    m[at] = mean;
    value = g + params.momentum * (mean - g);
  }
  x[select(i, column * params.stride + row, turned)] = value;
}

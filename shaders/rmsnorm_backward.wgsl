// rmsnorm_backward: the gradient of rmsnorm_forward with respect to its input.
//
//   forward  y[n,c] = x[n,c] * rstd[n] * weight[c]
//   with     g[c]   = dy[n,c] * weight[c],  xhat[c] = x[n,c] * rstd[n]
//   here     dx[n,c] += rstd[n] * (g[c] - xhat[c] * mean_c(g[c] * xhat[c]))
//
// Shapes    dy (N, C) operand; x, dx (N, C) f32; weight (C) f32; rstd (N) f32. C a multiple of 4.
// Dispatch  one workgroup per row, in a grid of two dimensions.
// Writes    accumulates into dx, which holds the gradient that the residual connection brought past the norm.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { N: u32, C: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn rmsnorm_backward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let n = workgroup.y * workgroups.x + workgroup.x;
  if (n >= params.N) { return; }
  let C4 = params.C / 4u;
  let scale = rstd[n];
  var sum = 0.0;
  for (var c = thread; c < C4; c += WORKGROUP) {
    sum += dot(vec4<f32>(dy[n * C4 + c]) * weight[c], x[n * C4 + c] * scale);
  }
  let mean = reduce_sum(sum, place) / f32(params.C);
  for (var c = thread; c < C4; c += WORKGROUP) {
    let g = vec4<f32>(dy[n * C4 + c]) * weight[c];
    dx[n * C4 + c] += scale * (g - x[n * C4 + c] * scale * mean);
  }
}

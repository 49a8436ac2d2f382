// grad_norm_partial: sums of squares of slices of an arena's gradients, the first half of the global norm.
//
//   partials[index] = sum of g[i]^2 over a slice
//
// A slice has WORKGROUP vec4s from `begin4` on, and again every `stride4`, up to `end`: the slices of a tensor take turns, or
// each is a run. The order of sums depends on the tensor alone and not on where it lies. Gaps between tensors are not read.
//
// Shapes    gradient (length) f32; slices (count), see src/kernels/grad_norm.ts; partials f32.
// Dispatch  one workgroup per slice: (x, y, 1).
// Writes    overwrites the sums of the slices, in a fixed order of sums.
override WORKGROUP: u32; // threads per workgroup; a power of two

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slices: array<Slice>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn grad_norm_partial(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let index = workgroup.y * workgroups.x + workgroup.x;
  if (index >= params.count) { return; }
  let slice = slices[index];
  let thread = place.thread;
  var sum = 0.0;
  for (var i = slice.begin4 + thread; 4u * i < slice.end; i += slice.stride4) {
    let inside = 4u * i + vec4(0u, 1u, 2u, 3u) < vec4(slice.end);
    let values = select(vec4(0.0), gradient[i], inside);
    sum += dot(values, values);
  }
  sum = reduce_sum(sum, place);
  if (thread == 0u) { partials[slice.index] = sum; }
}

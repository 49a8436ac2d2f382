// grad_norm_partial: sums of squares of slices of one tensor's gradient, the first half of the global norm.
//
//   partials[first + w] = sum of g[i]^2 over the elements of workgroup w
//
// Shapes    gradient (length) f32; partials (slots) f32.
// Dispatch  a fixed number of workgroups per tensor: (count, 1, 1); they stride over the elements.
// Writes    overwrites its slots, in a fixed order of sums.
override WORKGROUP: u32; // threads per workgroup; a power of two

struct Params { length: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn grad_norm_partial(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  var sum = 0.0;
  for (
    var i = workgroup.x * WORKGROUP + thread;
    4u * i < params.length;
    i += WORKGROUP * workgroups.x
  ) {
    let inside = 4u * i + vec4(0u, 1u, 2u, 3u) < vec4(params.length);
    let values = select(vec4(0.0), gradient[i], inside);
    sum += dot(values, values);
  }
  sum = reduce_sum(sum, place);
  if (thread == 0u) { partials[params.first + workgroup.x] = sum; }
}

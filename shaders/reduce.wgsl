// reduce: the sum, or the largest, over a workgroup of one value per thread, known to every thread. No kernel of its own:
// kernel.ts puts it behind kernels that ask for it, with the alias `reduced` for f32 or a vector of it. All threads must come,
// with their Place, which is a parameter of the entry point.
//
// Order     of a tree, fixed by WORKGROUP; reduce_subgroup.wgsl is the variant for devices with subgroups, and has another.
struct Place { @builtin(local_invocation_index) thread: u32 }

var<workgroup> reduce_parts: array<reduced, WORKGROUP>;

fn reduce_sum(own: reduced, place: Place) -> reduced {
  let thread = place.thread;
  reduce_parts[thread] = own;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (thread < stride) { reduce_parts[thread] += reduce_parts[thread + stride]; }
    workgroupBarrier();
  }
  let result = reduce_parts[0];
  workgroupBarrier(); // before the parts are written again
  return result;
}

fn reduce_max(own: reduced, place: Place) -> reduced {
  let thread = place.thread;
  reduce_parts[thread] = own;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (thread < stride) {
      reduce_parts[thread] = max(reduce_parts[thread], reduce_parts[thread + stride]);
    }
    workgroupBarrier();
  }
  let result = reduce_parts[0];
  workgroupBarrier();
  return result;
}

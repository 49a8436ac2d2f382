// reduce_subgroup: what reduce.wgsl does, on devices with subgroups: two barriers instead of log2(WORKGROUP) + 2.
//
// Every subgroup reduces its own threads and leaves one part; then every subgroup reduces all parts. Takes for granted that
// a one-dimensional workgroup is cut into subgroups in order, which WGSL leaves open and lavapipe
// does; tests/kernels show whether another driver does.
//
// Order     fixed by the device: its subgroup size, and its own order within a subgroup.
var<workgroup> reduce_parts: array<reduced, WORKGROUP>;

fn reduce_sum(own: reduced, thread: u32) -> reduced {
  let sum = subgroupAdd(own);
  let size = subgroupAdd(1u);
  let lane = subgroupExclusiveAdd(1u);
  if (lane == 0u) { reduce_parts[thread / size] = sum; }
  workgroupBarrier();
  var parts = reduced();
  for (var i = lane; i < WORKGROUP / size; i += size) { parts += reduce_parts[i]; }
  let result = subgroupAdd(parts);
  workgroupBarrier(); // before the parts are written again
  return result;
}

fn reduce_max(own: reduced, thread: u32) -> reduced {
  let largest = subgroupMax(own);
  let size = subgroupAdd(1u);
  let lane = subgroupExclusiveAdd(1u);
  if (lane == 0u) { reduce_parts[thread / size] = largest; }
  workgroupBarrier();
  var parts = largest;
  for (var i = lane; i < WORKGROUP / size; i += size) { parts = max(parts, reduce_parts[i]); }
  let result = subgroupMax(parts);
  workgroupBarrier();
  return result;
}

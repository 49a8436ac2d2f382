// reduce_subgroup: what reduce.wgsl does, on devices with subgroups: two barriers instead of log2(WORKGROUP) + 2.
//
// Every subgroup reduces its own threads and leaves one part; then every subgroup reduces all parts.
//
// Order     fixed by the device: how it cuts a workgroup into subgroups, their size, and its own order within a subgroup.
struct Place {
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
}

var<workgroup> reduce_parts: array<reduced, WORKGROUP>;

fn reduce_sum(own: reduced, place: Place) -> reduced {
  let sum = subgroupAdd(own);
  let size = subgroupAdd(1u);
  let lane = subgroupExclusiveAdd(1u);
  if (lane == 0u) { reduce_parts[place.subgroup] = sum; }
  workgroupBarrier();
  var parts = reduced();
  for (var i = lane; i < WORKGROUP / size; i += size) { parts += reduce_parts[i]; }
  let result = subgroupAdd(parts);
  workgroupBarrier(); // before the parts are written again
  return result;
}

fn reduce_max(own: reduced, place: Place) -> reduced {
  let largest = subgroupMax(own);
  let size = subgroupAdd(1u);
  let lane = subgroupExclusiveAdd(1u);
  if (lane == 0u) { reduce_parts[place.subgroup] = largest; }
  workgroupBarrier();
  var parts = largest;
  for (var i = lane; i < WORKGROUP / size; i += size) { parts = max(parts, reduce_parts[i]); }
  let result = subgroupMax(parts);
  workgroupBarrier();
  return result;
}

// reduce_lanes: what reduce.wgsl does, where a workgroup is one subgroup: no barrier, no workgroup memory.
//
// Order     fixed by the device, within a subgroup.
struct Place {
  @builtin(local_invocation_index) thread: u32,
}

fn reduce_sum(own: reduced, place: Place) -> reduced { return subgroupAdd(own); }

fn reduce_max(own: reduced, place: Place) -> reduced { return subgroupMax(own); }

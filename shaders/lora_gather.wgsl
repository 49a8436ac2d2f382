// lora_gather: the gradient of lora_spread.
//
//   forward  y[n,p r + j]   = scale * b[row(n),j] where row n belongs to part p
//   here     db[row(n),j]  += scale * dy[n,p r + j]
//
// Shapes    dy (N, width) f32; db (sum of the parts' rows, r) f32; parts as in lora_spread.
// Dispatch  one thread per element of db: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    accumulates into db.
override WORKGROUP: u32;

struct Params {
  N: u32,
  width: u32,
  rank: u32,
  scale: f32,
  begin_0: u32,
  end_0: u32,
  begin_1: u32,
  end_1: u32,
  begin_2: u32,
  end_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn lora_gather(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let row = i / params.rank;
  let rows_0 = params.end_0 - params.begin_0;
  let rows_1 = params.end_1 - params.begin_1;
  let rows_2 = params.end_2 - params.begin_2;
  if (row >= rows_0 + rows_1 + rows_2) { return; }
  var first = 0u;
  var n = params.begin_0 + row;
  if (row >= rows_0 + rows_1) {
    first = 2u * params.rank;
    n = params.begin_2 + row - rows_0 - rows_1;
  } else if (row >= rows_0) {
    first = params.rank;
    n = params.begin_1 + row - rows_0;
  }
  db[i] += params.scale * dy[n * params.width + first + i % params.rank];
}

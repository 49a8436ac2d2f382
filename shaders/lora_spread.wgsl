// lora_spread: the second matrix of an adapter as an operand for all rows of a stacked matrix at once.
//
//   y[n,p r + j] = scale * b[row(n),j] where row n belongs to part p, and 0 elsewhere
//
// Shapes    b (sum of the parts' rows, r) f32, the parts one behind the other; y (N, width) f32, width a multiple of 4. Part p
//           is of the rows begin_p .. end_p of N; parts do not overlap, and an empty one is there for none.
// Dispatch  one thread per 4 columns of a row: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    overwrites y.
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
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn lora_spread(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let width4 = params.width / 4u;
  let n = i / width4;
  if (n >= params.N) { return; }
  var first = params.width; // the first column of n's part; behind all of them where it has none
  var row = 0u;
  let rows_0 = params.end_0 - params.begin_0;
  let rows_1 = params.end_1 - params.begin_1;
  if (n >= params.begin_0 && n < params.end_0) {
    first = 0u;
    row = n - params.begin_0;
  } else if (n >= params.begin_1 && n < params.end_1) {
    first = params.rank;
    row = rows_0 + n - params.begin_1;
  } else if (n >= params.begin_2 && n < params.end_2) {
    first = 2u * params.rank;
    row = rows_0 + rows_1 + n - params.begin_2;
  }
  var values = vec4(0.0);
  for (var c = 0u; c < 4u; c++) {
    let column = 4u * (i % width4) + c;
    if (column >= first && column < first + params.rank) {
      values[c] = params.scale * b[row * params.rank + column - first];
    }
  }
  y[i] = values;
}

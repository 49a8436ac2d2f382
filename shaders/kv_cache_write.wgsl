// kv_cache_write: keep the keys and values of tokens for later ones to attend to.
//
//   cache[cache_rows[n],c] = qkv[n, NH HS + c]
//
// Shapes    qkv (N, ROW) operand, a row holds query, key, value heads; cache (rows, WIDTH) element, a row holds key, value
//           heads; cache_rows (N) u32, distinct. ROW and WIDTH multiples of 4.
// Dispatch  one thread per four elements, in a grid of two dimensions.
// Writes    overwrites the rows cache_rows of cache.
override WORKGROUP: u32; // threads per workgroup

struct Params { N: u32, ROW: u32, WIDTH: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<vec4<element>>;

@compute @workgroup_size(WORKGROUP)
fn kv_cache_write(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let width4 = params.WIDTH / 4u;
  let n = i / width4;
  if (n >= params.N) { return; }
  let c = i - n * width4;
  let row4 = params.ROW / 4u;
  cache[cache_rows[n] * width4 + c] = vec4<element>(qkv[n * row4 + row4 - width4 + c]);
}

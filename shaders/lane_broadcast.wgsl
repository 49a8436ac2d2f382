// lane_broadcast: up to 32 vec4s that the lanes of a subgroup loaded together, for all of them. No kernel of its own: it stands
// behind those for software adapters, whose workgroup is one subgroup of LANES.
//
// On a CPU a load from a buffer or from workgroup memory costs as much as dozens of products, on some processors hundreds; one
// from a storage texture costs less, and a broadcast the least (tests/bench/LOG.md).

// Item i is in lane i % LANES, at i / LANES.
alias Items = array<vec4<f32>, 8>;

// Items 4 b to 4 b + 3, as the columns of a matrix.
fn block0(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[0u / LANES], 0u % LANES),
    subgroupBroadcast(x[1u / LANES], 1u % LANES),
    subgroupBroadcast(x[2u / LANES], 2u % LANES),
    subgroupBroadcast(x[3u / LANES], 3u % LANES),
  );
}
fn block1(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[4u / LANES], 4u % LANES),
    subgroupBroadcast(x[5u / LANES], 5u % LANES),
    subgroupBroadcast(x[6u / LANES], 6u % LANES),
    subgroupBroadcast(x[7u / LANES], 7u % LANES),
  );
}
fn block2(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[8u / LANES], 8u % LANES),
    subgroupBroadcast(x[9u / LANES], 9u % LANES),
    subgroupBroadcast(x[10u / LANES], 10u % LANES),
    subgroupBroadcast(x[11u / LANES], 11u % LANES),
  );
}
fn block3(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[12u / LANES], 12u % LANES),
    subgroupBroadcast(x[13u / LANES], 13u % LANES),
    subgroupBroadcast(x[14u / LANES], 14u % LANES),
    subgroupBroadcast(x[15u / LANES], 15u % LANES),
  );
}
fn block4(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[16u / LANES], 16u % LANES),
    subgroupBroadcast(x[17u / LANES], 17u % LANES),
    subgroupBroadcast(x[18u / LANES], 18u % LANES),
    subgroupBroadcast(x[19u / LANES], 19u % LANES),
  );
}
fn block5(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[20u / LANES], 20u % LANES),
    subgroupBroadcast(x[21u / LANES], 21u % LANES),
    subgroupBroadcast(x[22u / LANES], 22u % LANES),
    subgroupBroadcast(x[23u / LANES], 23u % LANES),
  );
}
fn block6(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[24u / LANES], 24u % LANES),
    subgroupBroadcast(x[25u / LANES], 25u % LANES),
    subgroupBroadcast(x[26u / LANES], 26u % LANES),
    subgroupBroadcast(x[27u / LANES], 27u % LANES),
  );
}
fn block7(x: Items) -> mat4x4<f32> {
  return mat4x4(
    subgroupBroadcast(x[28u / LANES], 28u % LANES),
    subgroupBroadcast(x[29u / LANES], 29u % LANES),
    subgroupBroadcast(x[30u / LANES], 30u % LANES),
    subgroupBroadcast(x[31u / LANES], 31u % LANES),
  );
}

// Four rows of a product, by four of its columns: element i of `rows` has four steps of row i, a column of `right` one step.
fn add_product(sum: mat4x4<f32>, rows: mat4x4<f32>, right: mat4x4<f32>) -> mat4x4<f32> {
  return mat4x4(
    add_steps(sum[0], rows[0], right),
    add_steps(sum[1], rows[1], right),
    add_steps(sum[2], rows[2], right),
    add_steps(sum[3], rows[3], right),
  );
}

// By fma and in ascending order, as in a tile (tile_product.wgsl).
fn add_steps(sum: vec4<f32>, row: vec4<f32>, right: mat4x4<f32>) -> vec4<f32> {
  let two = fma(vec4(row[1]), right[1], fma(vec4(row[0]), right[0], sum));
  return fma(vec4(row[3]), right[3], fma(vec4(row[2]), right[2], two));
}

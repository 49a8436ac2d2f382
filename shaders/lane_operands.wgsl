// lane_operands: what matmul_forward_lanes and matmul_gated_lanes read of x (M, K), of a weight with weight_rows() rows of K, for
// lane_product, and of a bias with a number for each of these rows. No kernel of its own: it stands between them and that.

// What store adds to the columns of the lane. Zeros where there is no bias: a branch, or a load for each row, would take
// longer to compile.
var<private> low_bias: vec4<f32>;
var<private> high_bias: vec4<f32>;

fn load_bias(column4: u32) {
  let last4 = weight_rows() / 4u - 1u;
  low_bias = bias[min(column4, last4)];
  high_bias = bias[min(high_column4(column4), last4)];
}

fn load_item(row: u32, k4: u32) -> vec4<f32> {
  let m = min(m0 + row, params.M - 1u);
  return textureLoad(input, texel(m * (params.K / 4u) + k4));
}

// Four steps by four columns of the result, which are rows of the weight; anything in those that it does not have.
fn right_block(k4: u32, column4: u32) -> mat4x4<f32> {
  let n = 4u * column4;
  return transpose(mat4x4(
    weight_steps(n, k4),
    weight_steps(n + 1u, k4),
    weight_steps(n + 2u, k4),
    weight_steps(n + 3u, k4),
  ));
}

fn weight_steps(n: u32, k4: u32) -> vec4<f32> {
  return textureLoad(weight, texel(min(n, weight_rows() - 1u) * (params.K / 4u) + k4));
}

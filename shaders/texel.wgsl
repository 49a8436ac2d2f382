// texel: where vec4 i of a tensor lies in its texture. No kernel of its own: kernel.ts puts it behind those that read textures,
// and the width and the textures' types in front of them (src/gpu/texture.ts).
fn texel(i: u32) -> vec2<u32> { return vec2(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH); }

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_divae.py KIND FILE [--small]: a tokenizer with a diffusion decoder and random weights.

KIND is rgb, depth, normal or edge; names, shapes and settings are those of the published 4M files
(rgb: 1.15 GB), so that loading, memory and speed can be tried without them:

  make_divae.py rgb /tmp/rgb.safetensors
  tessera info -m rgb /tmp/rgb.safetensors
  tessera encode -t /tmp/rgb.safetensors -m rgb@224 photo.jpg > tokens
  time tessera decode -t /tmp/rgb.safetensors -m rgb@224 --steps 25 tokens

--small makes the same with few channels, for tests. Weights are normal numbers over the root of their
fan-in, the same for the same command line. Needs nothing but Python."""
import array, json, math, random, struct, sys

PUBLISHED = {  # planes, codes, pixels, decoder, prediction, noise schedule
    "rgb": (3, 16384, 448, "unet_patched", "sample", "linear"),
    "depth": (1, 8192, 448, "unet_patched", "sample", "linear"),
    "normal": (3, 8192, 448, "unet_patched", "sample", "linear"),
    "edge": (1, 8192, 512, "uvit_b_p4_f16", "v_prediction", "shifted_cosine:0.5"),
}


class Tensors:
    def __init__(self):
        self.list = []  # (name, shape, scale or constant)

    def add(self, name, shape, scale=None, constant=None):
        if scale is None and constant is None:
            scale = 1 / math.sqrt(math.prod(shape[1:]))
        self.list.append((name, shape, scale, constant))

    def layer(self, name, *shape):  # a linear map or a convolution
        self.add(name + ".weight", shape)
        self.add(name + ".bias", shape[:1], constant=0.0)

    def norm(self, name, width):
        self.add(name + ".weight", (width,), constant=1.0)
        self.add(name + ".bias", (width,), constant=0.0)


def encoder(t, planes, codes, grid, dim, depth):
    t.add("encoder.pos_emb", (1, dim, grid, grid), scale=0.5)
    t.layer("encoder.proj", dim, planes, 16, 16)
    for i in range(depth):
        at = f"encoder.blocks.{i}."
        t.norm(at + "norm1", dim)
        t.norm(at + "norm2", dim)
        t.layer(at + "attn.qkv", 3 * dim, dim)
        t.layer(at + "attn.proj", dim, dim)
        t.layer(at + "mlp.fc1", 4 * dim, dim)
        t.layer(at + "mlp.fc2", dim, 4 * dim)
    t.norm("encoder.norm_mlp", dim)
    t.layer("encoder.post_mlp.fc1", 4 * dim, dim)
    t.layer("encoder.post_mlp.fc2", dim, 4 * dim)
    t.layer("quant_proj", 32, dim, 1, 1)
    t.add("quantize._codebook.initted", (1,), constant=1.0)
    t.add("quantize._codebook.cluster_size", (codes,), constant=1.0)
    t.add("quantize._codebook.embed", (codes, 32))


def unet(t, planes, base, blocks, time):
    width = [base, 2 * base, 2 * base, 2 * base]

    def res(at, a, b):
        t.norm(at + "in_layers.0", a)
        t.layer(at + "in_layers.2", b, a, 3, 3)
        t.layer(at + "emb_layers.1", b, time)
        t.norm(at + "out_layers.0", b)
        t.layer(at + "out_layers.3", b, b, 3, 3)
        if a != b:
            t.layer(at + "skip_connection", b, a, 1, 1)

    def attention(at, c):
        t.norm(at + "norm", c)
        t.layer(at + "qkv", 3 * c, c, 1)
        t.layer(at + "proj_out", c, c, 1)

    d = "decoder."
    t.layer(d + "time_embed.0", time, base)
    t.layer(d + "time_embed.2", time, time)
    t.layer(d + "input_blocks.0.0", base, 16 * planes + 32, 3, 3)
    kept, c, k = [base], base, 1
    for level in range(4):
        for _ in range(blocks):
            res(f"{d}input_blocks.{k}.0.", c, width[level])
            c = width[level]
            if level >= 2:
                attention(f"{d}input_blocks.{k}.1.", c)
            kept.append(c)
            k += 1
        if level < 3:
            t.layer(f"{d}input_blocks.{k}.0.op", c, c, 3, 3)
            kept.append(c)
            k += 1
    res(d + "middle_block.0.", c, c)
    attention(d + "middle_block.1.", c)
    res(d + "middle_block.2.", c, c)
    k = 0
    for level in reversed(range(4)):
        for i in range(blocks + 1):
            res(f"{d}output_blocks.{k}.0.", c + kept.pop(), width[level])
            c = width[level]
            if level >= 2:
                attention(f"{d}output_blocks.{k}.1.", c)
            if level > 0 and i == blocks:
                t.layer(f"{d}output_blocks.{k}.{2 if level >= 2 else 1}.conv", c, c, 3, 3)
            k += 1
    t.norm(d + "out.0", base)
    t.layer(d + "out.2", 16 * planes, base, 3, 3)


def uvit(t, planes, base, dim, depth):
    time, width, d = 4 * base, [base, 2 * base], "decoder."

    def res(at, a, b):
        t.norm(at + "norm1", a)
        t.layer(at + "conv1", b, a, 3, 3)
        t.layer(at + "time_emb_proj", b, time)
        t.norm(at + "norm2", b)
        t.layer(at + "conv2", b, b, 3, 3)
        if a != b:
            t.layer(at + "conv_shortcut", b, a, 1, 1)

    t.layer(d + "conv_in", base, planes, 4, 4)
    t.layer(d + "time_embedding.linear_1", time, base)
    t.layer(d + "time_embedding.linear_2", time, time)
    kept, c = [base], base
    for level in range(2):
        for i in range(2):
            res(f"{d}down_blocks.{level}.resnets.{i}.", c, width[level])
            c = width[level]
            kept.append(c)
        if level == 0:
            t.layer(d + "down_blocks.0.downsamplers.0.conv", c, c, 3, 3)
            kept.append(c)
    for k in range(2):
        for i in range(3):
            res(f"{d}up_blocks.{k}.resnets.{i}.", c + kept.pop(), width[1 - k])
            c = width[1 - k]
        if k == 0:
            t.layer(d + "up_blocks.0.upsamplers.0.conv", c, c, 3, 3)
    top = width[1]
    for name in ("Conv2d_0", "conv"):
        t.layer(f"{d}downsample_mid.{name}", top, top, 3, 3)
    t.add(d + "mid_block.mid_pos_emb", (1, dim, 32, 32), scale=0.5)
    t.add(d + "mid_block.mask_token", (dim,), constant=0.0)
    for i in range(depth):
        at = f"{d}mid_block.mid_block.{i}."
        t.norm(at + "norm1", dim)
        t.layer(at + "attn.qkv", 3 * dim, dim)
        t.layer(at + "attn.proj", dim, dim)
        t.norm(at + "norm2", dim)
        t.layer(at + "mlp.fc1", 4 * dim, dim)
        t.layer(at + "mlp.fc2", dim, 4 * dim)
        t.layer(at + "adaLN_modulation", 4 * dim, time)
        t.layer(at + "adaLN_gate", 2 * dim, time)
    t.layer(d + "mid_block.mid_cond_proj", dim, 32)
    t.layer(d + "mid_block.mid_proj_in", dim, top)
    t.layer(d + "mid_block.mid_proj_out", top, dim)
    t.layer(d + "upsample_mid.conv", top, top, 3, 3)
    t.norm(d + "conv_norm_out", base)
    t.add(d + "conv_out.weight", (base, planes, 4, 4))
    t.add(d + "conv_out.bias", (planes,), constant=0.0)


def write(path, tensors, metadata):
    header, at = {"__metadata__": metadata}, 0
    for name, shape, _, _ in tensors:
        n = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = random.Random(1)
    noise = [rng.gauss(0, 1) for _ in range(65521)]
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape, scale, constant in tensors:
            n = math.prod(shape)
            if constant is not None:
                f.write(array.array("f", [constant]).tobytes() * n)
                continue
            start = rng.randrange(len(noise))
            block = array.array("f", [scale * x for x in noise[start:] + noise[:start]])
            block = block.tobytes()
            f.write(block * (4 * n // len(block)) + block[: 4 * n % len(block)])


def main():
    words = [a for a in sys.argv[1:] if a != "--small"]
    if len(words) != 2 or words[0] not in PUBLISHED:
        sys.exit(__doc__)
    small = "--small" in sys.argv
    planes, codes, side, decoder, prediction, schedule = PUBLISHED[words[0]]
    if small:
        codes, side = 64, 64
    t = Tensors()
    encoder(t, planes, codes, side // 16, 64 if small else 768, 1 if small else 12)
    if decoder == "unet_patched":
        unet(t, planes, *((32, 1, 64) if small else (256, 3, 1024)))
    else:
        uvit(t, planes, *((32, 64, 2) if small else (128, 768, 12)))
    settings = {
        "image_size": side, "n_channels": planes, "enc_type": "vit_b_enc", "patch_proj": True,
        "post_mlp": True, "patch_size": 16, "quant_type": "lucid", "codebook_size": codes,
        "num_codebooks": 1, "latent_dim": 32, "norm_codes": True, "norm_latents": False,
        "sync_codebook": False, "undo_std": False, "dec_type": decoder,
        "num_train_timesteps": 1000, "beta_schedule": schedule, "prediction_type": prediction,
        "clip_sample": True, "thresholding": True, "conditioning": "concat",
        "zero_terminal_snr": True, "image_size_enc": None}
    write(words[1], t.list, {k: str(v) for k, v in settings.items()})


main()

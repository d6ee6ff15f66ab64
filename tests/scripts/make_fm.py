#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_fm.py MODEL FILE [--sparse] [--dtype=BF16]: a published masked model with random weights.

MODEL is 4m-7 or 4m-21 and a size, 4m-21-b, 4m-21-l, 4m-21-xl, 4m-7-b ..., or 4m-21-tiny for tests;
names, shapes and metadata are those of the published files (4m-21-b: 3.4 GB), so that loading,
memory and speed can be tried without them:

  make_fm.py 4m-21-b /tmp/b.safetensors
  tessera info /tmp/b.safetensors
  tessera generate /tmp/b.safetensors --to tok_depth@224,caption

Weights are normal numbers, the same for the same command line; tables of positions are sines and
cosines; tied tensors are equal. --sparse writes the header and leaves the data a hole of zeros.
Sources: arXiv:2312.06647, arXiv:2406.09406, the published modality table. All but --sparse needs numpy."""
import json, math, struct, sys

SIZES = {"tiny": (384, 6, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "xl": (2048, 24, 32)}
PIXELS, TEXT, VECTORS = "pixels", "text", "vectors"
MODALITIES = {  # kind, or vocabulary and places of a grid
    "rgb@224": PIXELS, "caption": TEXT, "det": TEXT,
    "tok_rgb@224": (16384, 196), "tok_depth@224": (8192, 196), "tok_normal@224": (8192, 196),
    "tok_semseg@224": (4096, 196), "tok_clip@224": (8192, 196),
}
MORE = {
    "t5_caption": VECTORS, "metadata": TEXT, "human_poses": TEXT, "color_palette": TEXT,
    "sam_instance": TEXT, "tok_canny_edge@224": (8192, 196), "tok_sam_edge@224": (8192, 196),
    "tok_dinov2@224": (8192, 256), "tok_imagebind@224": (8192, 256),
    "tok_dinov2_global": (8192, 16), "tok_imagebind_global": (8192, 16),
}
# tensors and values of the published files
PUBLISHED = {
    "4m-7-b": (359, 444764928), "4m-7-l": (659, 1033733120), "4m-7-xl": (659, 3478947840),
    "4m-21-b": (433, 842630400), "4m-21-l": (733, 1564220416), "4m-21-xl": (733, 4539922432),
    "4m-7-tiny": (209, 147889536), "4m-21-tiny": (283, 346822272),
}
BLOCK = 1 << 24  # normal numbers that all tensors are cut from


def embeddings(t, side, name, what, dim):
    at = f"{side}_embeddings.{name}."
    t[at + "mod_emb"] = (1, 1, dim)
    places = 512 if what in (TEXT, VECTORS) else 196 if what == PIXELS else what[1]
    t[at + "pos_emb"] = (1, places, dim)
    if what == PIXELS:
        t[at + "proj.weight"] = (dim, 768)
    elif what == VECTORS:
        t[at + "emb_proj.weight"] = (dim, 4096)
        t[at + "emb_proj.bias"] = (dim,)
    else:
        vocabulary = 30000 if what == TEXT else what[0]
        t[at + "token_emb.weight"] = (vocabulary, dim)
        if side == "decoder":
            t[at + "to_logits.weight"] = (vocabulary, dim)


def shapes(modalities, dim, depth):
    t, hidden = {"mask_token": (1, 1, dim)}, 2 * 4 * dim // 3

    def norm(name):
        t[name + ".weight"] = t[name + ".bias"] = (dim,)

    for name, what in modalities.items():
        embeddings(t, "encoder", name, what, dim)
        if what not in (PIXELS, VECTORS):
            embeddings(t, "decoder", name, what, dim)
    for i in range(depth):
        for side, attention in (("encoder", "attn"), ("decoder", "self_attn")):
            at = f"{side}.{i}."
            norm(at + "norm1")
            norm(at + "norm2")
            t[at + attention + ".qkv.weight"] = (3 * dim, dim)
            t[at + attention + ".proj.weight"] = (dim, dim)
            t[at + "mlp.fc1.weight"] = t[at + "mlp.fc3.weight"] = (hidden, dim)
            t[at + "mlp.fc2.weight"] = (dim, hidden)
        norm(at + "query_norm")
        norm(at + "context_norm")
        t[at + "cross_attn.q.weight"] = t[at + "cross_attn.proj.weight"] = (dim, dim)
        t[at + "cross_attn.kv.weight"] = (2 * dim, dim)
    for name in ("encoder_norm", "decoder_norm"):
        norm(name)
    t["decoder_proj_context.weight"] = (dim, dim)
    t["decoder_proj_context.bias"] = (dim,)
    return t


def positions(places, dim, grid):
    part = dim // 4 if grid else dim // 2
    omega = 1 / 10000 ** (numpy.arange(part) / part)
    p = numpy.arange(places)
    axes = (p // math.isqrt(places), p % math.isqrt(places)) if grid else (p,)
    waves = [f(numpy.outer(a, omega)) for a in axes for f in (numpy.sin, numpy.cos)]
    return numpy.concatenate(waves, 1).astype(numpy.float32)


def values(name, shape, modalities, normal):
    n = math.prod(shape)
    if name.endswith("pos_emb") and "_global" not in name:
        what = modalities[name.split(".")[1]]
        return positions(shape[1], shape[2], what not in (TEXT, VECTORS)).ravel()
    if name.endswith(".bias"):
        return numpy.zeros(n, numpy.float32)
    if "norm" in name:
        return numpy.ones(n, numpy.float32)
    tied = name.replace("token_emb", "to_logits") if name.startswith("decoder_e") else name
    if name.endswith("mod_emb"):
        tied = name.split(".")[1]
    rng = numpy.random.default_rng(list(tied.encode()))
    scale = 0.02 if "_emb" in name and "proj" not in name or n <= 8192 else 1 / math.sqrt(shape[-1])
    start, out = int(rng.integers(BLOCK)), numpy.empty(n, numpy.float32)
    for at in range(0, n, BLOCK):
        part = normal[start : start + min(BLOCK, n - at)]
        numpy.multiply(part, numpy.float32(scale), out=out[at : at + BLOCK])
    return out


def metadata(modalities, dim, depth, heads):
    names = sorted(modalities)
    outputs = [m for m in names if modalities[m] not in (PIXELS, VECTORS)]
    config = {
        "domains_in": names, "domains_out": outputs, "dim": dim, "encoder_depth": depth,
        "decoder_depth": depth, "num_heads": heads, "mlp_ratio": 4, "qkv_bias": False,
        "proj_bias": False, "mlp_bias": False, "norm_bias": False, "act_layer": "SiLU",
        "gated_mlp": True, "image_size": 224, "patch_size": 16,
        "share_modality_embeddings": False,
    }
    return {key: str(value) for key, value in config.items()}


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    if len(words) != 2 or words[0] not in PUBLISHED:
        sys.exit(__doc__)
    model, path = words
    half = "--dtype=BF16" in sys.argv
    family, size = model.rsplit("-", 1)
    modalities = {**MODALITIES, **(MORE if family == "4m-21" else {})}
    dim, depth, heads = SIZES[size]
    tensors = sorted(shapes(modalities, dim, depth).items())
    counts = (len(tensors), sum(math.prod(s) for _, s in tensors))
    assert counts == PUBLISHED[model], (counts, PUBLISHED[model])
    header, end = {"__metadata__": metadata(modalities, dim, depth, heads)}, 0
    for name, shape in tensors:
        start, end = end, end + (2 if half else 4) * math.prod(shape)
        header[name] = {"dtype": "BF16" if half else "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        if "--sparse" in sys.argv:
            f.truncate(8 + len(text) + end)
            return
        global numpy
        import numpy

        normal = numpy.tile(numpy.random.default_rng(21).standard_normal(BLOCK, numpy.float32), 2)
        for name, shape in tensors:
            v = values(name, shape, modalities, normal)
            if half:
                v = (v.view(numpy.uint32) + 0x8000 >> 16).astype(numpy.uint16)
            v.tofile(f)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_seeds.py: write the seed corpora, one folder for each target, beside this script."""
import gzip
import io
import json
import lzma
import os
import struct
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))


def put(name, data):
    os.makedirs(os.path.dirname(os.path.join(HERE, name)), exist_ok=True)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


def tokenizer(name, vocab, model, **parts):
    value = {"version": "1.0", "truncation": None, "padding": None,
             "added_tokens": [{"id": 0, "content": "[UNK]", "special": True, "normalized": False},
                              {"id": len(vocab), "content": "<m>", "lstrip": True, "single_word": True}]}
    value.update(parts)
    value["model"] = dict(model, vocab={t: i for i, t in enumerate(vocab)})
    put("tokenizer/" + name, json.dumps(value, ensure_ascii=False, indent=1).encode())


def safetensors(name, tensors, meta, folder="safetensors"):
    header, at, data = {"__metadata__": meta}, 0, b""
    for key, dtype, shape, raw in tensors:
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    put(folder + "/" + name, struct.pack("<Q", len(text)) + text + data)


def model(name, tensors, meta):
    """Tensors "name 3x4" of bfloat16 zeros, as small as they can be."""
    out = []
    for t in tensors:
        key, _, shape = t.partition(" ")
        shape, n = [int(d) for d in shape.split("x")], 1
        for d in shape:
            n *= d
        out.append((key, "BF16", shape, bytes(2 * n)))
    safetensors(name, out, meta, "model")


def vit(side, channels):
    at = side + ".blocks.0."
    norms = [at + f"norm{i}.{part} 4" for i in (1, 2) for part in ("weight", "bias")]
    maps = [at + f"{m}.weight {o}x{i}" for m, o, i in
            (("attn.qkv", 12, 4), ("attn.proj", 4, 4), ("mlp.fc1", 16, 4), ("mlp.fc2", 4, 16))]
    maps += [at + f"{m}.bias {o}" for m, o in
             (("attn.qkv", 12), ("attn.proj", 4), ("mlp.fc1", 16), ("mlp.fc2", 4))]
    if side == "encoder":
        return [f"encoder.pos_emb 1x4x2x2", f"encoder.proj.weight 4x{channels}x2x2", "encoder.proj.bias 4"] + norms + maps
    return ["decoder.pos_emb 1x4x2x2"] + norms + maps + [f"decoder.out_proj.weight {4 * channels}x4",
                                                          f"decoder.out_proj.bias {4 * channels}"]


def models():
    quantizer = ["quant_proj.weight 2x4x1x1", "quant_proj.bias 2", "post_quant_proj.weight 4x2x1x1",
                 "post_quant_proj.bias 4", "quantize._codebook.initted 1", "quantize._codebook.cluster_size 3",
                 "quantize._codebook.embed 3x2"]
    meta = {"image_size": "4", "patch_size": "2", "n_channels": "1", "enc_type": "vit_b_enc", "dec_type": "vit_b_dec",
            "quant_type": "lucid", "codebook_size": "3", "latent_dim": "2", "post_mlp": "False", "norm_codes": "True",
            "tessera.enc_heads": "1", "tessera.dec_heads": "1"}
    model("vit.safetensors", vit("encoder", 1) + quantizer + vit("decoder", 1), meta)
    block = lambda at, attn: ([at + f"norm{i}.{part} 4" for i in (1, 2) for part in ("weight", "bias")]
                              + [at + a for a in attn]
                              + [at + "mlp.fc1.weight 10x4", at + "mlp.fc2.weight 4x10", at + "mlp.fc3.weight 10x4"])
    domains = {"tok_dinov2_global": 16, "caption": 8}
    tensors = ["mask_token 1x1x4"]
    for side in ("encoder", "decoder"):
        for d, n in domains.items():
            at = f"{side}_embeddings.{d}."
            tensors += [at + "mod_emb 1x1x4", at + f"token_emb.weight {n}x4"]
            tensors += [at + ("pos_emb 1x16x4" if d != "caption" else "pos_emb 1x512x4")]
            tensors += [at + f"to_logits.weight {n}x4"] if side == "decoder" else []
    tensors += block("encoder.0.", ["attn.qkv.weight 12x4", "attn.proj.weight 4x4"])
    tensors += block("decoder.0.", ["self_attn.qkv.weight 12x4", "self_attn.proj.weight 4x4",
                                    "cross_attn.q.weight 4x4", "cross_attn.kv.weight 8x4", "cross_attn.proj.weight 4x4",
                                    "query_norm.weight 4", "query_norm.bias 4", "context_norm.weight 4",
                                    "context_norm.bias 4"])
    tensors += [f"{n}.{part} 4" for n in ("encoder_norm", "decoder_norm") for part in ("weight", "bias")]
    tensors += ["decoder_proj_context.weight 4x4", "decoder_proj_context.bias 4"]
    names = str(sorted(domains))
    model("masked.safetensors", tensors,
          {"domains_in": names, "domains_out": names, "image_size": "224", "patch_size": "16", "norm_bias": "False",
           "act_layer": "SiLU", "dim": "4", "encoder_depth": "1", "decoder_depth": "1", "num_heads": "1",
           "mlp_ratio": "4", "qkv_bias": "False", "proj_bias": "False", "mlp_bias": "False", "gated_mlp": "True",
           "qk_norm": "False", "share_modality_embeddings": "False"})


def npy(name, descr, shape, item, version=1, fortran=False):
    count = 1
    for n in shape:
        count *= n
    text = str({"descr": descr, "fortran_order": fortran, "shape": tuple(shape)}).encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    data = b"".join(struct.pack(item, i % 7) for i in range(count))
    put("npy/" + name, b"\x93NUMPY" + bytes([version, 0]) + length + text + data)


def objects(name):
    """As NumPy stores [{"points": [[1, 2], [3, -4]], "n": 0.5}] of dtype object."""
    small = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x02K\x02\x86"
             b"cnumpy\ndtype\nX\x02\x00\x00\x00i2\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xff"
             b"J\xff\xff\xff\xffK\x00tb\x89C\x08\x01\x00\x02\x00\x03\x00\xfc\xfftb")
    entry = b"}q\x01(X\x06\x00\x00\x00points" + small + b"X\x01\x00\x00\x00nG?\xe0" + bytes(6) + b"u"
    array = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x01\x85"
             b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xff"
             b"J\xff\xff\xff\xffK?tb\x89](" + entry + b"etb")
    text = str({"descr": "|O", "fortran_order": False, "shape": (1,)}).encode() + b"\n"
    put("npy/" + name, b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + b"\x80\x03" + array + b".")


def zstd(data):
    """One frame with a window of 16 KiB and one block that is stored as it is."""
    return b"\x28\xb5\x2f\xfd\x00\x20" + struct.pack("<I", 1 | len(data) << 3)[:3] + data


def xz(data):
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}])


def tar(name, members, form, pack=bytes, **pax):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=pax) as t:
        for key, data in members:
            info = tarfile.TarInfo(key)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    put("tar/" + name, pack(data))


def manifest():
    digest = lambda n: f"{n:016x}" * 2
    place = lambda layout, grid, levels, codes, vocabulary, n, **more: dict(
        {"layout": layout, "grid": grid, "levels": levels, "crops": 1, "codebook_size": codes,
         "vocabulary": vocabulary, "tokenizer": digest(n)}, **more)
    modalities = {"caption": place("sequence", [1, 1], 1, 3000, "text", 3),
                  "rgb": dict(place("grid", [2, 3], 1, 1024, "rgb", 1), crops=2),
                  "rgb@8": place("patches", [2, 3], 48, 256, "", 5, patch_size=4)}
    files = {"keys": {"file": "keys-00000.h5", "bytes": 4376, "digest": digest(7)}}
    for i, name in enumerate(modalities):
        files[name] = {"file": name + "-00000.h5", "bytes": 6424, "digest": digest(8), "inputs": digest(9),
                       "tokenizer": modalities[name]["tokenizer"], "present": 4, "missing": 0, "failed": 1,
                       "tokens": 48, "failures": [{"key": "a", "reason": "is empty"}]}
    value = {"format": "tessera-corpus", "format_version": 1, "corpus": digest(6), "created_by": "tessera",
             "shard_samples": 5,
             "crops": {"count": 2, "min_scale": 0.8, "flips": True, "seed": 7, "reference": "rgb"},
             "vocabulary": {"size": 4024, "ranges": [{"name": "text", "base": 0, "size": 3000},
                                                     {"name": "rgb", "base": 3000, "size": 1024}]},
             "modalities": modalities,
             "shards": [{"shard": 0, "split": "train", "source": "test", "samples": 5, "keys_digest": digest(4),
                         "files": files}]}
    put("manifest/corpus.json", json.dumps(value, indent=1).encode())


def main():
    manifest()
    npy("picture.npy", "|u1", [4, 5, 3], "B")
    npy("depth.npy", "<f4", [3, 4], "<f")
    npy("wide.npy", ">i2", [2, 3, 4], ">h", version=2)
    npy("vector.npy", "<f8", [6], "<d", fortran=True)
    objects("objects.npy")
    members = [("a/0001.rgb.png", b"\x89PNG" + bytes(40)), ("a/0001.caption.txt", b"a photo"), ("0002.rgb.jpg", b"")]
    tar("ustar.tar", members, tarfile.USTAR_FORMAT)
    tar("gnu.tar", [("x" * 120 + "/1.rgb.png", b"12345")] + members[:1], tarfile.GNU_FORMAT)
    tar("pax.tar", [("y" * 180 + "/ü.rgb.png", b"12345")] + members[:1], tarfile.PAX_FORMAT, comment="seed")
    tar("packed.tar.gz", members, tarfile.USTAR_FORMAT, lambda data: gzip.compress(data, mtime=0))
    tar("packed.tar.xz", members, tarfile.USTAR_FORMAT, xz)
    tar("packed.tar.zst", members[:1], tarfile.USTAR_FORMAT, zstd)
    put("recipe/all.yaml", b"""# SPDX-License-Identifier: Apache-2.0
corpus: /tmp/corpus
train: {steps: 100, rate: 1e-4, betas: [0.9, 0.95]}
modalities:
  rgb:
    kind: image
    flip: true
    files: ["*.png", '*.jpg']
  "depth":
    kind: depth
extra:
  - text: |
      two
      lines
  - [1, 2.5, null, ~, .inf]
""")
    put("recipe/small.yaml", b"# SPDX-License-Identifier: Apache-2.0\ncorpus: 'it''s'\ntrain.steps: 5\n")
    models()
    seq = lambda key, *parts: {"type": "Sequence", key: [p if isinstance(p, dict) else {"type": p} for p in parts]}
    split = {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"},
             "behavior": "Isolated", "invert": False}
    tokenizer("wordpiece.json", ["[UNK]", "a", "##a", "##b", "photo", "."],
              {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 100},
              normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                          "strip_accents": None, "lowercase": True}, pre_tokenizer={"type": "BertPreTokenizer"},
              post_processor=None, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    tokenizer("bpe.json", ["[UNK]", "a", "b", "Ġ", "ab", "Ġab", "c"],
              {"type": "BPE", "dropout": None, "unk_token": "[UNK]", "fuse_unk": True, "byte_fallback": False,
               "ignore_merges": False, "merges": [["a", "b"], ["Ġ", "ab"]]},
              normalizer=seq("normalizers", "NFKC", {"type": "Replace", "pattern": {"String": "x"}, "content": "a"}),
              pre_tokenizer=seq("pretokenizers", split, {"type": "ByteLevel", "add_prefix_space": True,
                                                         "trim_offsets": True, "use_regex": False}),
              post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
              decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True})
    tokenizer("fallback.json", ["[UNK]", "▁", "<0x41>", "<0xC3>", "e</w>", "e"],
              {"type": "BPE", "unk_token": "[UNK]", "byte_fallback": True, "end_of_word_suffix": "</w>", "merges": []},
              normalizer={"type": "Prepend", "prepend": "▁"}, pre_tokenizer={"type": "Metaspace", "replacement": "▁"},
              decoder=seq("decoders", "ByteFallback", "Fuse", {"type": "Strip", "content": " ", "start": 1, "stop": 0}))
    safetensors("two.safetensors", [("a.weight", "F32", [2, 3], bytes(24)), ("b", "I64", [2], bytes(16))],
                {"format": "pt", "config": "{\"x\": 1}"})
    safetensors("types.safetensors", [("h", "BF16", [1, 4], bytes(8)), ("n", "F16", [0], b""), ("u", "U8", [], b"\1")], {})


if __name__ == "__main__":
    main()

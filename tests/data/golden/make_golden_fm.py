#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reduce golden vectors of masked models to what the tests need.

Usage: make_golden_fm.py FOLDER
FOLDER holds fm-swiglu and fm-gelu-qknorm, each X.safetensors (checkpoint) and X.io.safetensors (a batch
of 2, and what the reference implementation, apple/ml-4m under PyTorch in float32, computes from it).
Checkpoints lose the positions of texts that no sample reaches and the tables of grids' decoders, which
are never looked up; rows of tables that the batch does not use become 0, which packs well. Of the io
files logits are kept where they count, of the pixels the patches that are shown, of large gradients
every 37th value (grad37.NAME).
"""
import json
import pathlib
import struct
import sys

import numpy as np

POSITIONS = 32
STRIDE, LARGE = 37, 4096
TYPES = {"F32": np.float32, "I64": np.int64, "I32": np.int32, "BOOL": np.bool_}


def load(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop("__metadata__", {})
    body = data[8 + n:]
    return meta, {k: np.frombuffer(body[v["data_offsets"][0]:v["data_offsets"][1]],
                                   TYPES[v["dtype"]]).reshape(v["shape"]) for k, v in header.items()}


def save(path, meta, tensors):
    names = {np.dtype(t): k for k, t in TYPES.items()}
    header, parts, at = {"__metadata__": meta}, [], 0
    for k in sorted(tensors, key=lambda k: (-tensors[k].itemsize, k)):
        raw = np.ascontiguousarray(tensors[k]).tobytes()
        header[k] = {"dtype": names[tensors[k].dtype], "shape": list(tensors[k].shape),
                     "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def reduce_model(tensors, io):
    out = dict(tensors)
    for k in tensors:
        if k.endswith("pos_emb") and tensors[k].shape[1] == 512:
            out[k] = tensors[k][:, :POSITIONS]
        if k.startswith("decoder_embeddings.tok_") and k.endswith("token_emb.weight"):
            del out[k]
        elif k.endswith("token_emb.weight"):
            used = np.unique(io["in." + k.split(".")[1] + ".tensor"])
            out[k] = np.zeros_like(tensors[k])
            out[k][used] = tensors[k][used]
    return out


def reduce_io(meta, d):
    ids, out = json.loads(meta["modality_ids"]), {}
    shown = ~d["packed.decoder_mask"]
    for k, v in d.items():
        if k.startswith("logits."):
            out["rows." + k[7:]] = v[shown & (d["packed.decoder_mod"] == ids[k[7:]])]
        elif k.startswith("grad."):
            large = v.size > LARGE
            out[f"grad{STRIDE}." + k[5:] if large else k] = v.ravel()[::STRIDE] if large else v
        elif k == "in.rgb@224.tensor":
            patches = v.reshape(len(v), 3, 14, 16, 14, 16).transpose(0, 2, 4, 3, 5, 1)
            out["in.rgb@224.patches"] = patches.reshape(len(v), 196, 768)[~d["in.rgb@224.input_mask"]]
        elif not k.startswith("packed.") and not k.endswith("decoder_attention_mask"):
            out[k] = v.astype(np.int32) if v.dtype == np.int64 else v
    return out


def main():
    src, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    for name in ("fm-swiglu", "fm-gelu-qknorm"):
        meta, tensors = load(src / f"{name}.safetensors")
        io_meta, io = load(src / f"{name}.io.safetensors")
        save(here / f"{name}.safetensors", meta, reduce_model(tensors, io))
        save(here / f"{name}.io.safetensors", io_meta, reduce_io(io_meta, io))


main()

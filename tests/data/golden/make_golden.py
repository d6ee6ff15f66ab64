#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reduce golden vectors of tokenizers to what the tests need.

Usage: make_golden.py FOLDER [NAME ...]
FOLDER holds X.safetensors (checkpoint) and X.io.safetensors (input, latents, tokens, margin, decoded),
as the reference implementation (apple/ml-4m under PyTorch, float32, CPU) computes them. Checkpoints
are copied; of the io files one sample is kept, and of its decoded values every 37th.
"""
import pathlib
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

STRIDE = 37


def reduce_io(src, dst):
    d = load_file(src)
    rows = d["margin"].shape[-1] // d["tokens"].shape[0]
    out = {k: np.ascontiguousarray(d[k][:1]) for k in ("input", "latents", "tokens")}
    out["margin"] = np.ascontiguousarray(d["margin"][..., :rows])
    out[f"decoded.{STRIDE}"] = np.ascontiguousarray(d["decoded"][0].ravel()[::STRIDE])
    for k in ("input", "tokens"):
        if out[k].dtype == np.int64:
            out[k] = out[k].astype(np.int32)
    save_file(out, dst)


def main():
    src, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    for name in sys.argv[2:] or ["rgb", "rgb-448x320", "euclidean", "dinov2-global"]:
        if (src / f"{name}.safetensors").exists():
            shutil.copyfile(src / f"{name}.safetensors", here / f"{name}.safetensors")
        reduce_io(src / f"{name}.io.safetensors", here / f"{name}.io.safetensors")


main()

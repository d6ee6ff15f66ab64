#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_resize.py: write resize.fnv, what Pillow (9.4) makes of 400 random pictures for every filter.

For each filter (nearest, box, bilinear, bicubic, lanczos), 200 grey and 200 RGB in turn: FNV-1a (64
bits, little-endian) of the resized pixels. test_resize.c makes the same pictures and sizes.
"""
import os
import struct

import numpy as np
from PIL import Image

from madeup import fnv

FILTERS = [Image.NEAREST, Image.BOX, Image.BILINEAR, Image.BICUBIC, Image.LANCZOS]
COUNT, LIMIT = 400, 200 * 200 * 3 + 64

# x[k] = A[k] * x[0] + C[k]: the k-th value of the linear congruence of dsp_testing.h.
A, C = np.ones(LIMIT, np.uint32), np.zeros(LIMIT, np.uint32)
a, c = 1, 0
for i in range(LIMIT):
    A[i], C[i] = a, c
    a, c = a * 1664525 & 0xFFFFFFFF, (c * 1664525 + 1013904223) & 0xFFFFFFFF


def size(v, far):
    return 1 + int(v >> 8) % (200 if int(far >> 8) % 8 == 0 else 48)


def main():
    out = b""
    for f, pillow in enumerate(FILTERS):
        for k in range(COUNT):
            seed = np.uint32((f * COUNT + k) * 2654435761 + 99 & 0xFFFFFFFF)
            x = A * seed + C
            h, w, h2, w2 = (size(x[1 + 2 * i], x[2 + 2 * i]) for i in range(4))
            channels = 3 if k % 2 else 1
            n = h * w * channels
            v = x[9:9 + n]
            if k % 3 == 0:  # noise
                v = v >> 24
            elif k % 3 == 1:  # black and white
                v = (v >> 31) * 255
            else:  # ramps
                v = (np.arange(n, dtype=np.uint32) * 5 + (v >> 29)) & 255
            pixels = v.astype(np.uint8).reshape((h, w, 3) if channels == 3 else (h, w))
            out += struct.pack("<Q", fnv(Image.fromarray(pixels).resize((w2, h2), pillow).tobytes()))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.fnv"), "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_pictures.py FOLDER: files for the command tests of published tokenizers.

photo.png: rectangles and a ramp; edges.png: its edges, Canny's rule written out again in numpy (norm L1,
kernels of 3, thresholds 100 and 200 on OpenCV's grey); crops.npy: the centred square, and one mirrored.
"""
import os
import struct
import sys
import zlib

import numpy as np


def write_png(path, im):
    h, w = im.shape[:2]
    rows = im.reshape(h, -1)
    raw = b"".join(b"\0" + rows[y].tobytes() for y in range(h))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    colour = 2 if im.ndim == 3 else 0
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, colour, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def photo(h=64, w=80):
    y, x = np.mgrid[0:h, 0:w]
    im = np.stack([x * 3 % 256, y * 2 % 256, (x + y) % 256], axis=2)
    rng = np.random.RandomState(7)
    for _ in range(6):
        top, left = rng.randint(h - 20), rng.randint(w - 20)
        im[top:top + rng.randint(8, 20), left:left + rng.randint(8, 20)] = rng.randint(256, size=3)
    return im.astype(np.uint8)


def canny(im, low=100, high=200):
    r, g, b = (im[..., k].astype(np.int64) for k in range(3))
    p = np.pad((r * 9798 + g * 19235 + b * 3735 + 16384) >> 15, 1, mode="edge")
    gx = (p[:-2, 2:] + 2 * p[1:-1, 2:] + p[2:, 2:]) - (p[:-2, :-2] + 2 * p[1:-1, :-2] + p[2:, :-2])
    gy = (p[2:, :-2] + 2 * p[2:, 1:-1] + p[2:, 2:]) - (p[:-2, :-2] + 2 * p[:-2, 1:-1] + p[:-2, 2:])
    length = abs(gx) + abs(gy)
    m = np.pad(length, 1)
    h, w = length.shape

    def beside(dy, dx):
        return m[1 + dy:1 + dy + h, 1 + dx:1 + dx + w]

    across, down = abs(gx) * 13573, abs(gy) << 15
    flat, steep = down < across, down > across + (abs(gx) << 16)
    falls = (gx < 0) != (gy < 0)
    ridge = np.where(
        flat, (length > beside(0, -1)) & (length >= beside(0, 1)),
        np.where(steep, (length > beside(-1, 0)) & (length >= beside(1, 0)),
                 np.where(falls, (length > beside(-1, 1)) & (length > beside(1, -1)),
                          (length > beside(-1, -1)) & (length > beside(1, 1)))))
    maybe = ridge & (length > low)
    edge = maybe & (length > high)
    while True:
        wide = np.pad(edge, 1)
        near = np.zeros_like(edge)
        for dy in range(3):
            for dx in range(3):
                near |= wide[dy:dy + h, dx:dx + w]
        grown = edge | (maybe & near)
        if (grown == edge).all():
            return edge.astype(np.uint8) * 255
        edge = grown


def main():
    folder = sys.argv[1]
    im = photo()
    write_png(os.path.join(folder, "photo.png"), im)
    write_png(os.path.join(folder, "edges.png"), canny(im))
    crops = np.array([[0, 8, 64, 64, 0], [4, 6, 50, 60, 1]], np.int64)
    np.save(os.path.join(folder, "crops.npy"), crops)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_canny.py: write canny.fnv, the edges cv2.Canny (OpenCV 4.6) finds in 400 made-up pictures.

Each entry is FNV-1a (64 bits, little-endian) of the edge map. test_canny.c makes the same pictures:
grey, RGB, and RGB turned grey by cv2.cvtColor, with every norm and aperture, thresholds from 0 up. Ramps,
rectangles and noise, so that there are ties, corners and long weak edges; sides from 1 pixel.
"""
import os
import struct

import cv2
import numpy as np

from madeup import Noise, fnv

COUNT = 400


def picture(k):
    """Picture k, [H, W, C] uint8."""
    draw = Noise(k * 2654435761 + 7)
    h, w = 1 + draw(70), 1 + draw(70)
    channels = 1 if k % 3 == 0 else 3
    im = np.zeros((h, w, channels), np.int64)
    tilt = draw(5), draw(5)
    for y in range(h):
        for x in range(w):
            im[y, x] = (y * tilt[0] + x * tilt[1]) % 256
    for _ in range(draw(9)):
        y, x = draw(h), draw(w)
        tall, wide = 1 + draw(h), 1 + draw(w)
        for c in range(channels):
            im[y:y + tall, x:x + wide, c] = draw(256)
    grain = (1, 1, 8, 40, 256)[k % 5]
    for y in range(h):
        for x in range(w):
            for c in range(channels):
                im[y, x, c] = (im[y, x, c] + draw(grain)) % 256
    return im.astype(np.uint8), draw


def main():
    out = b""
    for k in range(COUNT):
        im, draw = picture(k)
        low, high = draw(1200) / 4, draw(2400) / 4
        aperture, l2 = (5 if k % 7 == 3 else 3), k % 4 == 1
        if aperture == 5:
            low, high = low * 16, high * 16
        if k % 3 == 2:
            im = cv2.cvtColor(im, cv2.COLOR_RGB2GRAY)
        elif k % 3 == 0:
            im = im[:, :, 0]
        found = cv2.Canny(np.ascontiguousarray(im), low, high, apertureSize=aperture, L2gradient=l2)
        out += struct.pack("<Q", fnv(found.tobytes()))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "canny.fnv"), "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_polygon.py: write polygon.fnv, what OpenCV (4.6) makes of 600 made-up outlines.

Each entry is FNV-1a (64 bits, little-endian) of the mask that cv2.drawContours fills and of the signs
cv2.pointPolygonTest gives at every third point of and around the mask. test_polygon.c makes the same
outlines: stars, random corners within and beyond the mask, lines, points, repeated corners.
"""
import os
import struct

import cv2
import numpy as np

from madeup import Noise, fnv

COUNT = 600


def outline(k):
    draw = Noise(k * 2654435761 + 11)
    h, w = (64, 64) if k % 2 else (1 + draw(50), 1 + draw(50))
    n = 1 + draw(12) if k % 5 else 1 + draw(3)
    margin = (1, 65, 40, 8)[k % 4]  # 1: the far border itself is reached, as 4M's masks do
    points = []
    for _ in range(n):
        x, y = (draw(w + margin) - margin // 2, draw(h + margin) - margin // 2)
        if k % 7 == 3 and points and draw(2):
            x = points[-1][0]
        if k % 7 == 4 and points and draw(2):
            y = points[-1][1]
        points.append((x, y))
    return h, w, np.array(points, np.int32)


def main():
    out = b""
    for k in range(COUNT):
        h, w, points = outline(k)
        mask = np.zeros((h, w), np.uint8)
        cv2.drawContours(mask, [points.reshape(-1, 1, 2)], -1, 1, thickness=-1)
        signs = bytearray()
        for y in range(-2, h + 3, 3):
            for x in range(-2, w + 3, 3):
                d = cv2.pointPolygonTest(points.reshape(-1, 1, 2), (x, y), True)
                signs.append(1 + (d > 0) - (d < 0))
        out += struct.pack("<Q", fnv(mask.tobytes() + bytes(signs)))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "polygon.fnv"), "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""madeup.py: what the makers of expected results here share: small random numbers, and digests."""


def fnv(data):
    """FNV-1a of bytes, 64 bits."""
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


class Noise:
    """Noise(seed)(n): the next number below n; the tests in C have the same."""

    def __init__(self, seed):
        self.x = seed & 0xFFFFFFFF

    def __call__(self, n):
        self.x = (self.x * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.x >> 8) % n

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks samples 0 to 9 of an exported split, each in its own way: break_4m.py FOLDER"""
import os
import struct
import sys


def write(path, kind, shape, numbers):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    head += ' ' * (-(len(head) + 11) % 64) + '\n'
    code = {'<i2': 'h', '<i8': 'q', '<f4': 'f'}[kind]
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode())
        f.write(struct.pack('<%d%s' % (len(numbers), code), *numbers))


def main():
    def tokens(i):
        return os.path.join(sys.argv[1], 'tok_rgb@224', '0000', '%06d.npy' % i)

    def crops(i):
        return os.path.join(sys.argv[1], 'crop_settings', '0000', '%06d.npy' % i)

    n = 3 * 196
    write(tokens(0), '<i2', (3, 196), [0] * (n - 1) + [1024])
    write(tokens(1), '<i2', (3, 196), [-1] + [0] * (n - 1))
    write(tokens(2), '<i2', (3, 100), [0] * 300)
    write(tokens(3), '<i2', (2, 196), [0, 1] * 196)
    write(tokens(4), '<f4', (3, 196), [0.0] * n)
    os.remove(crops(5))
    write(crops(6), '<i8', (2, 5), [0, 0, 64, 64, 0] * 2)
    write(crops(7), '<i8', (3, 5), [0, 0, 64, 64, 0] * 2 + [0, 0, 0, 64, 0])
    os.truncate(tokens(8), 200)
    write(crops(9), '<i8', (3, 5), [0, 0, 64, 64, 0, -1, 0, 64, 64, 0, 0, 0, 64, 64, 1])


main()

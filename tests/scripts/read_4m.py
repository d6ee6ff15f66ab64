#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads an exported split as 4M's programs do, with the standard library alone.

read_4m.py FOLDER SAMPLES CROPS TOKENS CODES
"""
import ast
import json
import os
import struct
import sys


def npy(path):
    """(type, shape, numbers)"""
    with open(path, 'rb') as f:
        data = f.read()
    assert data[:8] == b'\x93NUMPY\x01\x00', path
    n = struct.unpack('<H', data[8:10])[0]
    assert (10 + n) % 64 == 0 and data[9 + n:10 + n] == b'\n', path
    header = ast.literal_eval(data[10:10 + n].decode())
    assert header['fortran_order'] is False
    code = {'<i2': 'h', '<i4': 'i', '<i8': 'q'}[header['descr']]
    rows, columns = header['shape']
    return header['descr'], header['shape'], struct.unpack('<%d%s' % (rows * columns, code), data[10 + n:])


def listing(folder):
    """Sorted as ml-4m sorts: classes, then files, which it pairs by their place."""
    out = []
    for name in sorted(os.listdir(folder)):
        out += [(name, os.path.splitext(f)[0], os.path.join(folder, name, f))
                for f in sorted(os.listdir(os.path.join(folder, name)))]
    return out


def main():
    root, samples, crops, tokens, codes = sys.argv[1], *map(int, sys.argv[2:])
    lists = {m: listing(os.path.join(root, m)) for m in sorted(os.listdir(root))}
    assert set(lists) == {'caption', 'crop_settings', 'det', 'metadata', 'palette', 'tok_rgb@224'}
    names = [x[:2] for x in lists['caption']]
    assert len(names) == samples
    for m, files in lists.items():
        assert [x[:2] for x in files] == names, m
    for i in range(samples):
        kind, shape, ids = npy(lists['tok_rgb@224'][i][2])
        assert kind == '<i2' and shape == (crops, tokens) and 0 <= min(ids) and max(ids) < codes
        kind, shape, rows = npy(lists['crop_settings'][i][2])
        assert kind == '<i8' and shape == (crops, 5)
        top, left, height, width, flip = rows[:5]
        assert height == width and 0 in (top, left) and flip == 0
        assert all(rows[5 * c + 4] in (0, 1) and rows[5 * c + 2] > 0 for c in range(crops))
        with open(lists['caption'][i][2]) as f:
            assert f.read().strip()
        with open(lists['det'][i][2]) as f:
            boxes = [b['boxes'] + [b['class_name'], b['score']] for b in json.load(f)['instances']]
        assert all(0 <= b[0] < b[2] <= 1 and 0 <= b[1] < b[3] <= 1 and b[5] >= 0.6 for b in boxes)
        with open(lists['palette'][i][2]) as f:
            palettes = json.load(f)[0]
        assert sorted(palettes) == list('1234567')
        assert all(0 <= v <= 255 for p in palettes.values() for c in p for v in c)
        with open(lists['metadata'][i][2]) as f:
            record = json.load(f)
        assert record['original_width'] > 0 and isinstance(record['brightness'], float)


main()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whether two corpora hold the same for the same samples, read with h5py.

same_tokens.py A B [--by-name] MODALITY[=OTHER][:first]...   first: only crop 0
--by-name: the last part of the keys alone says which samples are the same
"""
import sys

import h5py


def samples(folder, modality, first, by_name):
    with h5py.File(folder + '/corpus.h5', 'r') as f:
        keys = [k.decode() for k in f['keys'][:]]
        keys = [k.split('/')[-1] for k in keys] if by_name else keys
        assert len(set(keys)) == len(keys)
        if modality == 'crops':
            return dict(zip(keys, f['crops'][:].tolist()))
        g = f[modality]
        t = g['tokens'][:].tolist()
        if 'offsets' in g:
            o = g['offsets'][:].tolist()
            rows = [t[a:b] for a, b in zip(o, o[1:])]
            k = len(rows) // len(keys)
            t = [rows[i * k:i * k + k] for i in range(len(keys))]
        assert g['present'][:].tolist() == [1] * len(keys)
        return {key: v[0] if first else v for key, v in zip(keys, t)}


def main():
    a, b, *rest = sys.argv[1:]
    by_name = '--by-name' in rest
    for what in rest:
        if what == '--by-name':
            continue
        names, _, first = what.partition(':')
        one, _, other = names.partition('=')
        x, y = samples(a, one, first, by_name), samples(b, other or one, first, by_name)
        assert x == y, (what, sorted(k for k in x if x[k] != y.get(k))[:3])


main()

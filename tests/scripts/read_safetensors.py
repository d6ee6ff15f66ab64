#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors with nothing but the standard library, as ml-4m's loader understands them.

  read_safetensors.py expect FILE EXPECTED NAME [D H]   names, types, shapes and options are those
                                                        of EXPECTED's entry (tests/data/export)
  read_safetensors.py same FILE OTHER [NEW=OLD...]      the same tensors, bit for bit
  read_safetensors.py config FILE CONFIG                config.json says what the metadata say
"""
import json
import struct
import sys

BYTES = {'F64': 8, 'I64': 8, 'F32': 4, 'F16': 2, 'BF16': 2}


def read(path):
    """{name: (type, shape, bytes)} and the metadata."""
    with open(path, 'rb') as f:
        data = f.read()
    n = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop('__metadata__', {})
    tensors, ends = {}, [0]
    for name, t in header.items():
        begin, end = t['data_offsets']
        size = BYTES[t['dtype']]
        for k in t['shape']:
            size *= k
        assert end - begin == size and 8 + n + end <= len(data), name
        assert begin in ends, 'hole before %s' % name
        ends.append(end)
        tensors[name] = t['dtype'], t['shape'], data[8 + n + begin:8 + n + end]
    assert 8 + n + max(ends) == len(data), 'bytes behind the last tensor'
    return tensors, metadata


def value(text):
    """An option as the loader parses it: YAML, where None stands for null."""
    words = {'True': True, 'False': False, 'None': None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def expect(path, expected, name, dim='0', hidden='0'):
    with open(expected) as f:
        entry = json.load(f)[name]
    letters = {'D': int(dim), '2D': 2 * int(dim), '3D': 3 * int(dim), 'H': int(hidden)}
    wanted = {k: (t, [letters.get(n, n) for n in shape]) for k, (t, shape) in entry['tensors'].items()}
    tensors, metadata = read(path)
    found = {k: (t, shape) for k, (t, shape, _) in tensors.items()}
    assert found == wanted, sorted(set(map(str, found.items())) ^ set(map(str, wanted.items())))
    options = {k: value(v) for k, v in metadata.items()}
    for k, v in entry['config'].items():
        assert k in options and options[k] == v and type(options[k]) is type(v), (k, options.get(k))
    if name == 'model':  # whose loader takes no others
        more = {'dim', 'encoder_depth', 'decoder_depth', 'num_heads'}
        assert set(options) == set(entry['config']) | more, set(options) ^ set(entry['config'])


def same(path, other, *names):
    tensors, _ = read(path)
    others, _ = read(other)
    for pair in names:
        new, old = pair.split('=')
        others = {k.replace('_embeddings.%s.' % old, '_embeddings.%s.' % new): v
                  for k, v in others.items()}
    assert tensors.keys() == others.keys(), tensors.keys() ^ others.keys()
    for name in tensors:
        assert tensors[name] == others[name], name


def config(path, config_path):
    with open(config_path) as f:
        typed = json.load(f)
    _, metadata = read(path)
    metadata = {k: v for k, v in metadata.items() if not k.startswith('tessera')}
    assert typed.keys() == metadata.keys(), typed.keys() ^ metadata.keys()
    for k, v in metadata.items():
        assert typed[k] == value(v), (k, typed[k], v)


{'expect': expect, 'same': same, 'config': config}[sys.argv[1]](*sys.argv[2:])

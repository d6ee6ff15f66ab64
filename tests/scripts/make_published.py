#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_published.py KIND FILE: a file with the names, shapes and settings of a published 4M tokenizer.

KINDs are those of tests/data/vqvae/published.txt; without arguments they are listed, each with the modality it is
for. All values are 0, the file is sparse: it takes a few kilobytes of disk. make_divae.py makes files with weights."""
import json
import math
import os
import re
import struct
import sys

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "vqvae", "published.txt")


def read_list():
    kinds, now = {}, None
    for line in open(LIST, encoding="utf-8"):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        head = re.match(r"\[(.*)\] (.*)", line)
        if head:
            now = kinds[head[1]] = {"about": dict(w.split("=") for w in head[2].split()), "lines": []}
        elif line.startswith("settings "):
            now["settings"] = dict(w.split("=") for w in line.split()[1:])
        elif line.startswith("like "):
            now["lines"] = list(kinds[line[5:]]["lines"])
        elif line.startswith("-"):
            now["lines"].remove(line[1:])
        else:
            now["lines"].append(line)
    return kinds


def tensors(kind):
    for line in kind["lines"]:
        name, shape = line.split()
        shape = [int(n) for n in shape.split("x")]
        several = re.search(r"\{(.*)\}", name)
        if not several:
            yield name, shape
            continue
        first, _, last = several[1].partition("..")
        numbers = range(int(first), int(last) + 1) if last else several[1].split(",")
        for n in numbers:
            yield name.replace(several[0], str(n)), shape


def main():
    kinds = read_list()
    if len(sys.argv) == 1:
        for name, kind in kinds.items():
            print(name, kind["about"]["modality"], kind["about"]["tensors"], kind["about"]["bytes"])
        return
    if len(sys.argv) != 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    kind = kinds[sys.argv[1]]
    header, at = {"__metadata__": kind["settings"]}, 0
    for name, shape in tensors(kind):
        n = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + n]}
        at += n
    assert len(header) - 1 == int(kind["about"]["tensors"]) and at == int(kind["about"]["bytes"])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)


main()

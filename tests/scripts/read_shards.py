# SPDX-License-Identifier: Apache-2.0
"""A second reader of the corpus format, written from man/tessera-shard.5 alone, with h5py and NumPy.

read_shards.py FOLDER EXPECTED: compares every token of the corpus with the JSON lines in EXPECTED,
reading it file by file and once more through corpus.h5.
"""
import json
import os
import sys

import h5py
import numpy as np


def text(value):
    return (value.decode() if isinstance(value, bytes) else value).rstrip("\0")


class Shard:
    """One token file."""

    def __init__(self, path):
        f = h5py.File(path, "r")
        assert text(f.attrs["format"]) == "tessera-shard" and f.attrs["format_version"] == 1
        assert text(f.attrs["kind"]) == "tokens"
        self.n, self.k = int(f.attrs["samples"]), int(f.attrs["crops"])
        self.file, self.tokens, self.present = f, f["tokens"], f["present"][:]
        self.attrs = self.tokens.attrs
        self.keys_digest = text(f.attrs["keys_digest"])
        assert self.present.shape == (self.n,) and self.present.dtype == np.uint8
        self.layout = text(self.attrs["layout"])
        size = 1 if self.layout == "patches" else 4 if self.attrs["codebook_size"] > 65536 else 2
        assert self.tokens.dtype == np.dtype("<u%d" % size)
        for name in ("tokens", "present"):
            assert f[name].chunks is None and f[name].compression is None
            assert f[name].id.get_offset() is not None or f[name].size == 0
        levels, (height, width) = int(self.attrs["levels"]), self.attrs["grid"]
        assert ("patch_size" in self.attrs) == (self.layout == "patches")
        if self.layout in ("grid", "patches"):
            shape = [self.n] + [self.k] * (self.k > 1) + [height * width] + [levels] * (levels > 1)
            assert self.tokens.shape == tuple(shape), self.tokens.shape
            absent = self.tokens[np.flatnonzero(self.present != 1)]
            assert not absent.any()
        else:
            o = f["offsets"][:]
            assert o.shape == (self.n * self.k + 1,) and o.dtype == np.uint64
            assert self.layout == "sequence"
            assert o[0] == 0 and o[-1] == self.tokens.shape[0] and (o[1:] >= o[:-1]).all()
        if self.layout == "patches":
            assert levels == 3 * int(self.attrs["patch_size"]) ** 2
            assert self.attrs["codebook_size"] == 256 and self.attrs["base"] == 0
            assert text(self.attrs["vocabulary"]) == ""

    def row(self, i, crop):
        if self.layout != "sequence":
            t = self.tokens[i]
            return (t[crop] if self.k > 1 else t).reshape(-1)
        a, b = self.file["offsets"][i * self.k + crop:i * self.k + crop + 2]
        return self.tokens[int(a):int(b)]

    def reasons(self):
        f = self.file["failures"]
        blob, o = bytes(f["text"][:]), f["offsets"][:]
        return {int(r): blob[int(o[n]):int(o[n + 1])].decode() for n, r in enumerate(f["rows"][:])}


def keys_of(path):
    with h5py.File(path, "r") as f:
        assert text(f.attrs["kind"]) == "keys"
        keys = [k.decode() for k in f["keys"][:]]
        sizes, crops = f["sizes"][:], f["crops"][:]
        assert crops.shape == (len(keys), f.attrs["crops"], 5) and crops.dtype == np.int32
        for (h, w), row in zip(sizes.astype(int), crops):
            if h == 0 and w == 0:
                assert not row.any()
                continue
            side = min(h, w)
            assert list(row[0]) == [(h - side) // 2, (w - side) // 2, side, side, 0]
            for top, left, height, width, flip in row:
                assert 0 <= top and top + height <= h and 0 <= left and left + width <= w
                assert flip in (0, 1)
        return keys, text(f.attrs["keys_digest"]), sizes, crops


def by_file(folder, manifest):
    """(key, modality) -> (present, [ids of each crop])"""
    found = {}
    for shard in manifest["shards"]:
        files = shard["files"]
        keys, digest, _, _ = keys_of(os.path.join(folder, files["keys"]["file"]))
        assert digest == shard["keys_digest"] and len(keys) == shard["samples"]
        for name, modality in manifest["modalities"].items():
            if name not in files:
                found.update({(key, name): (0, []) for key in keys})
                continue
            path = os.path.join(folder, files[name]["file"])
            assert os.path.getsize(path) == files[name]["bytes"]
            s = Shard(path)
            assert s.keys_digest == digest and text(s.attrs["modality"]) == name
            assert text(s.attrs["tokenizer"]) == modality["tokenizer"] == files[name]["tokenizer"]
            base = {r["name"]: r["base"] for r in manifest["vocabulary"]["ranges"]}
            assert text(s.attrs["vocabulary"]) == modality["vocabulary"]
            if s.layout == "patches":
                assert s.attrs["patch_size"] == modality["patch_size"]
                assert modality["vocabulary"] not in base
            else:
                assert s.attrs["base"] == base[modality["vocabulary"]]
            assert sorted(s.reasons()) == [i for i in range(s.n) if s.present[i] == 2]
            for i, reason in s.reasons().items():
                assert reason == keys[i]
            for i, key in enumerate(keys):
                ids = [s.row(i, c).tolist() for c in range(s.k)] if s.present[i] == 1 else []
                found[key, name] = (int(s.present[i]), ids)
    return found


def by_link(folder, manifest):
    """The same through corpus.h5, in the few lines the manual promises."""
    found = {}
    f = h5py.File(os.path.join(folder, "corpus.h5"), "r")
    keys = [k.decode() for k in f["keys"][:]]
    for name, modality in manifest["modalities"].items():
        t, present, k = f[name]["tokens"], f[name]["present"][:], modality["crops"]
        for i, key in enumerate(keys):
            if present[i] != 1:
                ids = []
            elif modality["layout"] != "sequence":
                ids = [r.reshape(-1).tolist() for r in (t[i] if k > 1 else [t[i]])]
            else:
                o = f[name]["offsets"][i * k:(i + 1) * k + 1]
                ids = [t[int(a):int(b)].tolist() for a, b in zip(o, o[1:])]
            found[key, name] = (int(present[i]), ids)
    for i, key in enumerate(keys):
        shard = "%05d" % f["shard"][i]
        assert key.encode() in f["shards"][shard]["keys"]["keys"][:]
    return found


def main(folder, expected):
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as f:
        manifest = json.load(f)
    assert manifest["format"] == "tessera-corpus" and manifest["format_version"] == 1
    with open(expected, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    want = {(r["key"], r["modality"]): (r["present"], r["ids"]) for r in rows}
    assert len(want) == len(rows) > 0
    for read in by_file, by_link:
        found = read(folder, manifest)
        assert found.keys() == want.keys(), found.keys() ^ want.keys()
        for key, value in want.items():
            assert found[key] == value, (read.__name__, key, found[key], value)
    print("%d rows agree" % len(want))


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_cases.py PUBLISHED.json: write tokenizer.json and cases.json beside this script.

PUBLISHED.json is the text tokenizer published with 4M (apple/ml-4m, Apache-2.0). tokenizer.json is
the part of it that the strings of cases.json can touch: every special token and every piece that is
a substring of them, with their ids, so that both files give the same tokens. cases.json holds the
strings with ids and decoded text as the Python package tokenizers (0.23) gives them.
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
FIXED = """a nice restaurant in santorini at sunset [S_1]
[S_1] v0=0 v1=250 v2=420 v3=999 potted plant v0=400 v1=750 v2=950 v3=999 dining table [S_2]
A photo of a Hot Dog, and cats!
v1=2 v0=35
Crème Brûlée — 3.5$
v0=1000
hotdog hot  dog TEDDY BEAR İstanbul
stop sign stop signs person persons tv-show [PAD][PAD] [UNK]
[S_1]x a[S_2] v0=5v1=6 v0=5,v1=6
don't do not it's we've they're I'm 'quoted' "double"
  leading and trailing blanks\t
中文字符 mixed with words
한국어 텍스트 각
naïve café ÀÉÎÕÜ ﬁne ½ ℃ Ⅳ
😀 smile 👍🏽 👨‍👩‍👧
x² + y² = z² < 5 > 3 | ~ ` ^
under_score hyphen-ated e.g. i.e. U.S.A.
a_[S_3] [S_3]_a [S_3]́ v0=5́ doǵ
tab\there
zero​width joiner‍ non‌joiner ­soft
[EOS][EOS] [ EOS ] [eos] [S_200] [S_199]
v4=1 v0=01 v3=999 v3=1000 v0= v0=-1
The quick brown fox jumps over 13 lazy dogs near a fire hydrant and a parking meter."""


def strings(tokenizer):
    rng = random.Random(20240611)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1])
    special = [k for k, v in vocabulary if v < 4204]
    classes = [k for k, v in vocabulary if 4204 <= v < 4284]
    pieces = [k.replace("##", "") for k, v in vocabulary if v >= 4284]
    pool = rng.sample(special, 40) + rng.sample(pieces, 250) + classes[::3]
    odd = ["é", "Ñ", "中", "\u0301", "\u200d", "ﬁ", "😀", "°", "İ", "ß", "\t", "\n", "  ", ".", ",", "'",
           '"', "-", "ÀÉ", "각", "hot dog", "Hot  Dog", "[S_7]", "[EOS]", "v3=99x", "!", "?", "\u00a0",
           "\u3000", "\ufffd", "\u0007", "#", "##", "_", "x" * 101, "ab" * 50]
    out = FIXED.split("\n") + ["", " ", "\n", "\u0301", "[PAD]"]
    while len(out) < 640:
        n = rng.randint(1, 10)
        words = [rng.choice(odd) if rng.random() < 0.25 else rng.choice(pool) for _ in range(n)]
        out.append("".join(w + (" " if rng.random() < 0.6 else "") for w in words))
    return out


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        published = json.load(f)
    tokenizer = Tokenizer.from_file(sys.argv[1])
    cases, text = [], []
    for s in strings(tokenizer):
        ids = tokenizer.encode(s).ids
        cases.append({"text": s, "ids": ids,
                      "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        text += [s, tokenizer.normalizer.normalize_str(s)]
    text = "\n".join(text)
    keep = {"[PAD]", "[UNK]", "[SOS]", "[EOS]"}
    vocab = published["model"]["vocab"]
    keep |= {k for k in vocab if k in text or (k.startswith("##") and k[2:] in text)}
    published["model"]["vocab"] = {k: v for k, v in vocab.items() if k in keep}
    published["added_tokens"] = [t for t in published["added_tokens"] if t["content"] in keep]
    for name, value in (("tokenizer.json", published), ("cases.json", cases)):
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()

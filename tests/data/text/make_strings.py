#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_strings.py PUBLISHED.json: what the Python package tokenizers (0.23) makes of 20,000 strings.

PUBLISHED.json is the text tokenizer published with 4M (apple/ml-4m, Apache-2.0). Written beside this
script:
  fragments.json  what the strings are put together from; the generator below is also in test_texts.c
  wordpiece.json  the rows of PUBLISHED.json that the strings can touch, ids unchanged
  bpe.json        a byte-level BPE of 8,000 merges, trained on other strings of the generator
  variants.json   other normalizers, pre-tokenizers, decoders and added tokens for those two
  wordpiece.fnv, bpe.fnv  for each string, FNV-1a (64 bits, little-endian) of its ids (32 bits each,
                  little-endian) and then its decoded text
  variants.fnv    the same for the first 500 strings of every variant, one after another
encode(add_special_tokens=False), decode(skip_special_tokens=False). Deterministic.
make_strings.py --check TOKENIZER.json: prints ids of the first 2,000 strings, one line each, to compare
with what tessera makes of a vocabulary of its own.
"""
import json
import os
import random
import struct
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT, VARIANT_COUNT = 20000, 500
# Code points drawn from: [first, last].
RANGES = [[0x20, 0x7E], [0x00, 0x1F], [0x7F, 0xA0], [0xA1, 0x24F], [0x300, 0x36F], [0x370, 0x52F], [0x590, 0x6FF],
          [0x900, 0x9FF], [0xE00, 0xEFF], [0x1100, 0x11FF], [0x1E00, 0x1FFF], [0x2000, 0x206F], [0x2070, 0x2BFF],
          [0x3000, 0x30FF], [0x4E00, 0x9FFF], [0xAC00, 0xD7A3], [0xF900, 0xFFFD], [0x10000, 0x1FFFF],
          [0x1F300, 0x1FAFF], [0x20000, 0x2FFFF], [0xE0000, 0xE01FF]]
ODD = """A photo of a man riding a wave on top of a surfboard.|Two dogs, one cat & a teddy bear|don't|it's|we've
they'RE|I'm|isn't|do not|"quoted"|'single'|U.S.A.|e.g.|3.14159|1,000,000|0x1F|$5.99|50%|v1.2.3-rc4|user@example.com
https://example.com/a/b?c=d&e=f#g|def f(x):\n    return x + 1\n|if (a != b && c <= d) { i++; }|#include <stdio.h>
for i in range(10):|\t\tint *p = &q[0];\r\n|SELECT * FROM t WHERE id = 7;|FooBarBaz|HTMLParser|snake_case_name|__init__
x² + y² = z²|½|Ⅳ|℃|ﬁne|straße|İstanbul|naïve café|ÀÉÎÕÜ|Ångström|Crème Brûlée|e\u0301|a\u0323\u0307|o\u0307\u0323
\u1112\u1161\u11ab|한국어 텍스트|각|中文字符|日本語のテスト|漢字かな交じり文|Привет, мир|Ελληνικά ς|שלום|مرحبا|हिन्दी|ไทย
😀|👍🏽|👨\u200d👩\u200d👧|🇫🇷|❤️|…|—|“curly”|«guillemets»|¿qué?|\u200b|\u200d|\u00ad|\ufeff|\ufffd|\u2028|\x85|\xa0|\u3000
\x01|\x07|\x1b[0m|\x7f|  |   |\n\n|\t|\r\n| \n |[PAD]|[UNK]|[SOS]|[EOS]|[S_0]|[S_17]|[S_199]|[S_200]|v0=0|v1=250|v2=999
v3=1000|v0=5v1=6|hot dog|Hot Dog|stop sign|potted plant|<|endoftext|>|<mask>|<s>|[eos]|##ing|##|_|'|-|.|!|?|,|:|;"""


class Noise:
    """Linear congruence; test_texts.c has the same."""

    def __init__(self, seed):
        self.x = seed & 0xFFFFFFFF

    def below(self, n):
        self.x = (self.x * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.x >> 8) % n


def string(i, fragments):
    r = Noise(i * 2654435761 + 12345)
    kind, n, out = r.below(10), 1 + r.below(14), ""
    for k in range(n * 9 if kind == 1 else n):
        if kind == 0:  # code points
            lo, hi = RANGES[r.below(len(RANGES))]
            c = lo + r.below(hi - lo + 1)
            out += chr(0xFFFD if 0xD800 <= c < 0xE000 else c)
        elif kind == 1:  # long words
            out += chr(ord("a") + r.below(26))
        elif kind < 4:  # made-up words
            a, b = fragments[r.below(len(fragments))], fragments[r.below(len(fragments))]
            out += a[:len(a) // 2] + b[len(b) // 2:] + (" " if r.below(5) else "")
        else:
            out += fragments[r.below(len(fragments))] + (" " if r.below(5) < 3 else "")
    return out


def make_fragments(published):
    rng = random.Random(4)
    vocab = sorted((v, k) for k, v in published["model"]["vocab"].items() if v >= 4284)
    words = [k for v, k in vocab if k.isalpha() and k.isascii() and len(k) > 2]
    odd = [f for f in ODD.replace("\n", "|").split("|") if f]
    return [w for w in rng.sample(words, 700)] + [w.capitalize() for w in rng.sample(words, 60)] + odd * 2


def fnv(ids, text):
    h = 0xCBF29CE484222325
    for b in struct.pack("<%dI" % len(ids), *ids) + text.encode("utf-8"):
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return struct.pack("<Q", h)


def digests(tokenizer, strings):
    out = b""
    for s in strings:
        ids = tokenizer.encode(s, add_special_tokens=False).ids
        out += fnv(ids, tokenizer.decode(ids, skip_special_tokens=False))
    return out


def cut_published(published, tokenizer, strings):
    text = "\n".join(s + "\n" + tokenizer.normalizer.normalize_str(s) for s in strings)
    used = {t for s in strings for t in tokenizer.encode(s, add_special_tokens=False).ids}
    keep = {"[PAD]", "[UNK]", "[SOS]", "[EOS]"}
    special = {t["content"] for t in published["added_tokens"]}
    vocab = published["model"]["vocab"]
    keep |= {k for k, v in vocab.items() if v in used or (k in special and k in text)}
    cut = dict(published, model=dict(published["model"]))
    cut["model"]["vocab"] = {k: v for k, v in vocab.items() if k in keep}
    cut["added_tokens"] = [t for t in published["added_tokens"] if t["content"] in keep]
    return cut


def train_bpe(fragments):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=256 + 8000, show_progress=False, min_frequency=1,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator([string(10**6 + i, fragments) for i in range(40000)], trainer)
    tok.add_special_tokens(["[EOS]", "<|endoftext|>"])
    tok.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("hot dog", single_word=True)])
    return tok


def variants():
    llama = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
             "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
    o200k = ("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
             "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
             "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}"
             "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
    cl100k = ("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+"
              "|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s")
    split = lambda p, b="Isolated", i=False: {"type": "Split", "pattern": {"Regex": p}, "behavior": b, "invert": i}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    seq = lambda key, *parts: {"type": "Sequence", key: list(parts)}
    pre = lambda *p: {"pre_tokenizer": seq("pretokenizers", *p)}
    n = lambda *p: {"normalizer": seq("normalizers", *p)}
    t = lambda name, **k: dict({"type": name}, **k)
    bpe = [pre(split(llama), level), dict(pre(split(llama.replace("{1,3}", "")), level), **n(t("NFC"))),
           pre(split(o200k), level), pre(split(cl100k), level),
           dict(pre(t("Punctuation", behavior="Contiguous"), t("Digits", individual_digits=True), level),
                **n(t("NFKD"), t("StripAccents"), t("Lowercase"))),
           dict({"pre_tokenizer": dict(level, add_prefix_space=True, use_regex=True)},
                **n(t("NFKC"), t("Strip", strip_left=True, strip_right=True)))]
    wp = [dict(pre(t("Whitespace"), t("Digits", individual_digits=False)), **n(t("NFD"), t("Lowercase"))),
          dict(pre(t("WhitespaceSplit"), t("Punctuation", behavior="MergedWithPrevious")),
               normalizer=t("BertNormalizer", clean_text=True, handle_chinese_chars=False, strip_accents=False,
                            lowercase=True), decoder=t("WordPiece", prefix="##", cleanup=False)),
          dict(pre(split("[aeiou]+", "MergedWithNext"), t("BertPreTokenizer")), decoder=None,
               **n(t("Replace", pattern={"Regex": "\\s+"}, content=" "), t("Lowercase")))]
    return [["bpe.json", v] for v in bpe] + [["wordpiece.json", v] for v in wp]


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else
                (json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n").encode())


def main():
    if sys.argv[1] == "--check":
        with open(os.path.join(HERE, "fragments.json"), encoding="utf-8") as f:
            fragments = json.load(f)["fragments"]
        tokenizer = Tokenizer.from_file(sys.argv[2])
        for i in range(2000):
            print(*tokenizer.encode(string(i, fragments), add_special_tokens=False).ids)
        return
    with open(sys.argv[1], encoding="utf-8") as f:
        published = json.load(f)
    full = Tokenizer.from_file(sys.argv[1])
    fragments = make_fragments(published)
    write("fragments.json", {"ranges": RANGES, "fragments": fragments})
    strings = [string(i, fragments) for i in range(COUNT)]
    files = {"wordpiece.json": cut_published(published, full, strings),
             "bpe.json": json.loads(train_bpe(fragments).to_str())}
    for name, value in files.items():
        write(name, value)
        tok = Tokenizer.from_str(json.dumps(value))
        want = digests(tok, strings)
        assert name != "wordpiece.json" or want == digests(full, strings), "the cut changes ids"
        write(name.replace(".json", ".fnv"), want)
    out = b""
    for name, parts in variants():
        out += digests(Tokenizer.from_str(json.dumps(dict(files[name], **parts))), strings[:VARIANT_COUNT])
    write("variants.json", variants())
    write("variants.fnv", out)


if __name__ == "__main__":
    main()

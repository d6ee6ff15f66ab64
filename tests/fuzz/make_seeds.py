#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_seeds.py: write the seed corpora tokenizer/ and safetensors/ beside this script."""
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def put(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


def tokenizer(name, vocab, model, **parts):
    value = {"version": "1.0", "truncation": None, "padding": None,
             "added_tokens": [{"id": 0, "content": "[UNK]", "special": True, "normalized": False},
                              {"id": len(vocab), "content": "<m>", "lstrip": True, "single_word": True}]}
    value.update(parts)
    value["model"] = dict(model, vocab={t: i for i, t in enumerate(vocab)})
    put("tokenizer/" + name, json.dumps(value, ensure_ascii=False, indent=1).encode())


def safetensors(name, tensors, meta):
    header, at, data = {"__metadata__": meta}, 0, b""
    for key, dtype, shape, raw in tensors:
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    put("safetensors/" + name, struct.pack("<Q", len(text)) + text + data)


def main():
    seq = lambda key, *parts: {"type": "Sequence", key: [p if isinstance(p, dict) else {"type": p} for p in parts]}
    split = {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"},
             "behavior": "Isolated", "invert": False}
    tokenizer("wordpiece.json", ["[UNK]", "a", "##a", "##b", "photo", "."],
              {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 100},
              normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                          "strip_accents": None, "lowercase": True}, pre_tokenizer={"type": "BertPreTokenizer"},
              post_processor=None, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    tokenizer("bpe.json", ["[UNK]", "a", "b", "Ġ", "ab", "Ġab", "c"],
              {"type": "BPE", "dropout": None, "unk_token": "[UNK]", "fuse_unk": True, "byte_fallback": False,
               "ignore_merges": False, "merges": [["a", "b"], ["Ġ", "ab"]]},
              normalizer=seq("normalizers", "NFKC", {"type": "Replace", "pattern": {"String": "x"}, "content": "a"}),
              pre_tokenizer=seq("pretokenizers", split, {"type": "ByteLevel", "add_prefix_space": True,
                                                         "trim_offsets": True, "use_regex": False}),
              post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
              decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True})
    tokenizer("fallback.json", ["[UNK]", "▁", "<0x41>", "<0xC3>", "e</w>", "e"],
              {"type": "BPE", "unk_token": "[UNK]", "byte_fallback": True, "end_of_word_suffix": "</w>", "merges": []},
              normalizer={"type": "Prepend", "prepend": "▁"}, pre_tokenizer={"type": "Metaspace", "replacement": "▁"},
              decoder=seq("decoders", "ByteFallback", "Fuse", {"type": "Strip", "content": " ", "start": 1, "stop": 0}))
    safetensors("two.safetensors", [("a.weight", "F32", [2, 3], bytes(24)), ("b", "I64", [2], bytes(16))],
                {"format": "pt", "config": "{\"x\": 1}"})
    safetensors("types.safetensors", [("h", "BF16", [1, 4], bytes(8)), ("n", "F16", [0], b""), ("u", "U8", [], b"\1")], {})


if __name__ == "__main__":
    main()

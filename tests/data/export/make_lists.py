#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reduces lists of all tensors of ml-4m's models and tokenizers to what the tests look at.

make_lists.py MODEL-LISTS TOKENIZER-LISTS OUT: the lists are what state_dict() of instances of the
reference (apple/ml-4m, revision cda590f) holds. The width of the model becomes a letter, so that a
narrow one can be compared: D, and H for the hidden width of its MLPs.
"""
import json
import sys

MODS = ('caption', 'rgb@224', 'tok_semseg@224')


def model(lists):
    entry = lists['tiny_swiglu_nobias_mod7']
    config = dict(entry['config'])
    for side in ('domains_in', 'domains_out'):
        config[side] = [m for m in config[side] if m in MODS]
    for key in ('dim', 'encoder_depth', 'decoder_depth', 'num_heads'):
        del config[key]
    letters = {384: 'D', 768: '2D', 1152: '3D', 1024: 'H'}
    tensors = {}
    for name, t in entry['tensors'].items():
        parts = name.split('.')
        if parts[0].endswith('_embeddings') and parts[1] not in MODS:
            continue
        if parts[0] in ('encoder', 'decoder') and parts[1] != '0':
            continue
        shape = [letters.get(n, n) for n in t['shape']]
        if name.endswith('rgb@224.proj.weight'):
            shape[1] = 768  # values of a patch
        tensors[name] = [t['dtype'], shape]
    return {'config': config, 'tensors': tensors}


def tokenizer(lists, name, **config):
    tensors = {t[0]: ['F32', t[1]] for t in lists['tiny'][name]['tensors']}
    return {'config': config, 'tensors': tensors}


def main():
    models, tokenizers = (json.load(open(p)) for p in sys.argv[1:3])
    vit = dict(image_size=16, patch_size=4, latent_dim=8, codebook_size=24, quant_type='lucid',
               n_labels=None, out_conv=False, patch_proj=True, sync_codebook=False)
    out = {
        'model': model(models),
        'image': tokenizer(tokenizers, 'vqvae_vit_rgb_postmlp', n_channels=3, post_mlp=True,
                           norm_codes=True, **vit),
        'depth': tokenizer(tokenizers, 'vqvae_vit_euclidean', n_channels=1, post_mlp=True,
                           norm_codes=False, **vit),
    }
    # The reference's euclidean instance reads three planes, a depth tokenizer one.
    for name, plane in (('encoder.proj.weight', 1), ('decoder.out_proj.weight', 0),
                        ('decoder.out_proj.bias', 0)):
        shape = out['depth']['tensors'][name][1]
        shape[plane] //= 3
    with open(sys.argv[3], 'w') as f:
        json.dump(out, f, indent=0, sort_keys=True)
        f.write('\n')


main()

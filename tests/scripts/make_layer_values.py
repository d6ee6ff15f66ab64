#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/nn/layer_values.h: results of PyTorch for test_layer_values.c. Not run by the tests.

Usage: make_layer_values.py > tests/data/nn/layer_values.h      (made with PyTorch 1.13.1)
"""
import torch
import torch.nn.functional as F


def numbers(seed, *shape):
    """The same numbers in [-1, 1) as in the test: a multiplicative hash of the index."""
    n = 1
    for d in shape:
        n *= d
    v = [((i + 1) * 2654435761 + seed * 40503 * 65537) % 2**32 for i in range(n)]
    return torch.tensor([x / 2**31 - 1 for x in v], dtype=torch.float64).float().reshape(shape)


def emit(name, t):
    print(f"static const float {name}[] = {{")
    v = [f"{x:.8e}f" for x in t.detach().flatten().tolist()]
    for i in range(0, len(v), 6):
        print("    " + ", ".join(v[i : i + 6]) + ",")
    print("};")


print("/* SPDX-License-Identifier: Apache-2.0")
print(" * Results of PyTorch, written by tests/scripts/make_layer_values.py. */")

qkv = (3 * numbers(1, 2, 6, 24)).requires_grad_()
q, k, v = qkv.reshape(2, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
s = (q @ k.transpose(-1, -2)) * 0.5
s = s.masked_fill(torch.ones(6, 6).triu(1).bool(), float("-inf"))
o = (s.softmax(-1) @ v).transpose(1, 2).reshape(2, 6, 8)
(o * numbers(2, 2, 6, 8)).sum().backward()
emit("attention_out", o)
emit("attention_grad", qkv.grad)

x = numbers(3, 2, 4, 6, 7).requires_grad_()
w = numbers(4, 6, 2, 3, 2).requires_grad_()
b = numbers(5, 6).requires_grad_()
y = F.conv2d(x, w, b, stride=2, padding=1, groups=2)
(y * numbers(6, *y.shape)).sum().backward()
emit("conv_out", y)
emit("conv_grad_x", x.grad)
emit("conv_grad_w", w.grad)
emit("conv_grad_b", b.grad)
emit("depthwise_out", F.conv2d(numbers(7, 1, 2, 9, 8), numbers(8, 2, 1, 7, 7), None, padding=3, groups=2))

emit("bicubic_out", F.interpolate(numbers(9, 1, 2, 7, 5), (3, 8), mode="bicubic", align_corners=False))
emit("bicubic_half", F.interpolate(numbers(10, 1, 1, 8, 8), (4, 4), mode="bicubic", align_corners=False))

p = numbers(11, 5, 7).requires_grad_()
emit("norm_out", F.layer_norm(p, (7,), numbers(12, 7), numbers(13, 7), 1e-6))
emit("gelu_out", F.gelu(4 * p))
loss = F.smooth_l1_loss(p, numbers(14, 5, 7), beta=0.7)
loss = loss + F.mse_loss(p, numbers(14, 5, 7)) + F.l1_loss(p, numbers(14, 5, 7))
loss = loss + (1 - F.cosine_similarity(p, numbers(14, 5, 7), dim=-1)).mean()
loss = loss + F.cross_entropy(8 * p, torch.tensor([3, 0, -100, 6, 3]))
loss.backward()
emit("losses", loss)
emit("losses_grad", p.grad)

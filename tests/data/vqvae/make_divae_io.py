#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_divae_io.py: what PyTorch computes with the small tokenizers of tests/scripts/make_divae.py.

Writes NAME.io.safetensors beside this script, for `tessera parity`: an input, its tokens, the noise that
decoding began with and the noise that its steps added, and the decoded picture:

  divae-rgb-ddim    patched UNet, DDIM, 5 steps
  divae-rgb-ddpm    the same, DDPM, 2 steps where the reference has them, noise added at the first
  divae-rgb-eta     the same, DDIM with eta 0.5, 4 steps, guidance 2
  divae-edge-ddim   UViT, predicts velocities, shifted cosine schedule, 4 steps

Networks and samplers are written here once more, with torch.nn.functional, in float32 on one thread. Random
decoders amplify rounding: in float64 the same script is 9e-5 (ddim) and 4e-4 (eta) away from itself."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
MAKE = os.path.join(HERE, "..", "..", "scripts", "make_divae.py")
SIDE = 32


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop("__metadata__")
    return {k: torch.from_numpy(np.frombuffer(data, "<f4", math.prod(v["shape"]), 8 + n + v["data_offsets"][0])
                                .reshape(v["shape"]).copy()) for k, v in header.items()}, meta


def write(path, tensors, meta):
    header, at, data = {"__metadata__": meta}, 0, b""
    for k, v in tensors.items():
        raw = v.contiguous().numpy().tobytes()
        kind = {torch.float32: "F32", torch.int32: "I32"}[v.dtype]
        header[k] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


class Net:
    def __init__(self, w, meta):
        self.w, self.meta = w, meta

    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"].flatten(1), self.w[name + ".bias"])

    def conv(self, name, x, **how):
        return F.conv2d(x, self.w[name + ".weight"], self.w[name + ".bias"], **how)

    def group(self, name, x):
        return F.group_norm(x, 32, self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def layer(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], eps)

    def attend(self, name, x):  # one head of 64
        q, k, v = self.linear(name + ".qkv", x).chunk(3, -1)
        return self.linear(name + ".proj", (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v)

    def mlp(self, name, x):
        return self.linear(name + ".fc2", F.gelu(self.linear(name + ".fc1", x)))

    def has(self, name):
        return name + ".weight" in self.w

    # --- encoder and codes

    def encode(self, x):
        x = self.conv("encoder.proj", x, stride=16)
        x = x + F.interpolate(self.w["encoder.pos_emb"], x.shape[-2:], mode="bicubic", align_corners=False)
        b, d, h, w = x.shape
        x, i = x.flatten(2).transpose(1, 2), 0
        while self.has(f"encoder.blocks.{i}.norm1"):
            at = f"encoder.blocks.{i}."
            x = x + self.attend(at + "attn", self.layer(at + "norm1", x, 1e-6))
            x = x + self.mlp(at + "mlp", self.layer(at + "norm2", x, 1e-6))
            i += 1
        y = torch.tanh(self.linear("encoder.post_mlp.fc1", self.layer("encoder.norm_mlp", x, 1e-6)))
        x = self.linear("quant_proj", x + self.linear("encoder.post_mlp.fc2", y))
        score = F.normalize(x, dim=-1) @ F.normalize(self.w["quantize._codebook.embed"], dim=-1).T
        best = score.topk(2).values
        return (x.transpose(1, 2).reshape(b, -1, h, w), score.argmax(-1).reshape(b, h, w),
                (best[..., 0] - best[..., 1]).reshape(1, b, h, w))

    def lookup(self, ids):
        return self.w["quantize._codebook.embed"][ids].permute(0, 3, 1, 2)

    # --- patched UNet

    def time(self, t, width, names):
        f = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2)) * t
        e = torch.cat([f.cos(), f.sin()])[None]
        return self.linear(names[1], F.silu(self.linear(names[0], e)))

    def unet_res(self, at, x, emb):
        h = self.conv(at + "in_layers.2", F.silu(self.group(at + "in_layers.0", x)), padding=1)
        h = h + self.linear(at + "emb_layers.1", F.silu(emb))[..., None, None]
        h = self.conv(at + "out_layers.3", F.silu(self.group(at + "out_layers.0", h)), padding=1)
        return h + (self.conv(at + "skip_connection", x) if self.has(at + "skip_connection") else x)

    def unet_attend(self, at, x):
        b, c, h, w = x.shape
        y = self.linear(at + "qkv", self.group(at + "norm", x.flatten(2)).transpose(1, 2))
        q, k, v = y.chunk(3, -1)
        a = ((q * c ** -0.25) @ (k * c ** -0.25).transpose(1, 2)).softmax(-1) @ v
        return x + self.linear(at + "proj_out", a).transpose(1, 2).reshape(b, c, h, w)

    def unet_block(self, at, x, emb):
        if self.has(at + "0.in_layers.0"):
            x = self.unet_res(at + "0.", x, emb)
            if self.has(at + "1.norm"):
                x = self.unet_attend(at + "1.", x)
            for i in "12":
                if self.has(f"{at}{i}.conv"):
                    x = self.conv(f"{at}{i}.conv", F.interpolate(x, scale_factor=2), padding=1)
            return x
        if self.has(at + "0.op"):
            return self.conv(at + "0.op", x, stride=2, padding=1)
        return self.conv(at + "0", x, padding=1)

    def unet(self, x, t, codes):
        x, d, kept = F.pixel_unshuffle(x, 4), "decoder.", []
        x = torch.cat([x, F.interpolate(codes, x.shape[-2:])], 1)
        emb = self.time(t, self.w[d + "time_embed.0.weight"].shape[1], (d + "time_embed.0", d + "time_embed.2"))
        blocks = lambda side: 1 + max(int(k.split(".")[2]) for k in self.w if k.startswith(d + side))
        for i in range(blocks("input_blocks")):
            x = self.unet_block(f"{d}input_blocks.{i}.", x, emb)
            kept.append(x)
        x = self.unet_res(d + "middle_block.0.", x, emb)
        x = self.unet_res(d + "middle_block.2.", self.unet_attend(d + "middle_block.1.", x), emb)
        for i in range(blocks("output_blocks")):
            x = self.unet_block(f"{d}output_blocks.{i}.", torch.cat([x, kept.pop()], 1), emb)
        return F.pixel_shuffle(self.conv(d + "out.2", F.silu(self.group(d + "out.0", x)), padding=1), 4)

    # --- UViT, f16, codes added to the tokens of the middle

    def uvit_res(self, at, x, emb):
        h = self.conv(at + "conv1", F.silu(self.group(at + "norm1", x)), padding=1)
        h = h + self.linear(at + "time_emb_proj", F.silu(emb))[..., None, None]
        h = self.conv(at + "conv2", F.silu(self.group(at + "norm2", h)), padding=1)
        return h + (self.conv(at + "conv_shortcut", x) if self.has(at + "conv_shortcut") else x)

    def uvit_middle(self, x, emb, codes, told):
        d = "decoder.mid_block."
        b, c, h, w = x.shape
        x = self.linear(d + "mid_proj_in", x.flatten(2).transpose(1, 2))
        c = self.linear(d + "mid_cond_proj", F.interpolate(codes, (h, w)).flatten(2).transpose(1, 2))
        x = x + (c if told else self.w[d + "mask_token"])
        pos = F.interpolate(self.w[d + "mid_pos_emb"], (h, w), mode="bicubic", align_corners=False)
        x, s, i = x + pos.flatten(2).transpose(1, 2), F.silu(emb)[:, None], 0
        while self.has(f"{d}mid_block.{i}.norm1"):
            at = f"{d}mid_block.{i}."
            shift1, scale1, shift2, scale2 = self.linear(at + "adaLN_modulation", s).chunk(4, -1)
            g1, g2 = self.linear(at + "adaLN_gate", s).chunk(2, -1)
            x = x + g1 * self.attend(at + "attn", self.layer(at + "norm1", x, 1e-5) * (1 + scale1) + shift1)
            x = x + g2 * self.mlp(at + "mlp", self.layer(at + "norm2", x, 1e-5) * (1 + scale2) + shift2)
            i += 1
        return self.linear(d + "mid_proj_out", x).transpose(1, 2).reshape(b, -1, h, w)

    def uvit(self, x, t, codes, told=True):
        d = "decoder."
        x = self.conv(d + "conv_in", x, stride=4)
        emb = self.time(t, self.w[d + "time_embedding.linear_1.weight"].shape[1],
                        (d + "time_embedding.linear_1", d + "time_embedding.linear_2"))
        kept = [x]
        for level in range(2):
            for i in range(2):
                x = self.uvit_res(f"{d}down_blocks.{level}.resnets.{i}.", x, emb)
                kept.append(x)
            if level == 0:
                x = self.conv(d + "down_blocks.0.downsamplers.0.conv", x, stride=2, padding=1)
                kept.append(x)
        x = self.conv(d + "downsample_mid.conv", x, stride=2, padding=1)
        x = self.uvit_middle(x, emb, codes, told)
        x = self.conv(d + "upsample_mid.conv", F.interpolate(x, scale_factor=2), padding=1)
        for k in range(2):
            for i in range(3):
                x = self.uvit_res(f"{d}up_blocks.{k}.resnets.{i}.", torch.cat([x, kept.pop()], 1), emb)
            if k == 0:
                x = self.conv(d + "up_blocks.0.upsamplers.0.conv", F.interpolate(x, scale_factor=2), padding=1)
        x = F.silu(self.group(d + "conv_norm_out", x))
        return F.conv_transpose2d(x, self.w[d + "conv_out.weight"], self.w[d + "conv_out.bias"], stride=4)

    def answer(self, x, t, codes, guidance):
        if "unet" not in self.meta["dec_type"]:
            return self.uvit(x, t, codes)
        out = self.unet(x, t, codes)
        if guidance != 1:
            free = self.unet(x, t, torch.zeros_like(codes))
            out = free + guidance * (out - free)
        return out


def schedule(name):
    T = 1000
    if name.startswith("shifted_cosine"):
        u = torch.linspace(0, 1, T).double()
        snr = (-2 * (torch.log(torch.tan(math.pi * u / 2)) + math.log(float(name.split(":")[1])))).clamp(-15, 15)
        abar = torch.sigmoid(snr.float())
        abar[-1] = 0
        return abar
    abar = torch.cumprod((1 - torch.linspace(1e-4, 0.02, T)).double(), 0).float()
    s = abar.sqrt()  # without signal at the end
    s = (s - s[-1]) * (s[0] / (s[0] - s[-1]))
    a = s ** 2
    alpha = torch.cat([a[:1], a[1:] / a[:-1]])
    return torch.cumprod((1 - (1 - alpha)).double(), 0).float()


def decode(net, codes, x, added, how):
    T, n = 1000, how["steps"]
    r, abar = T // n, schedule(net.meta["beta_schedule"])
    ddpm = how["sampler"] == "ddpm"
    times = [i * r for i in reversed(range(n))] if ddpm else [T - 1 - i * r for i in range(n)]
    for i, t in enumerate(times):
        out = net.answer(x, t, codes, how.get("guidance", 1))
        now, then = abar[t], abar[t - r] if t - r >= 0 else torch.tensor(1.0)
        v = net.meta["prediction_type"] == "v_prediction"
        x0 = now.sqrt() * x - (1 - now).sqrt() * out if v else out
        cut = x0.clamp(-1, 1)
        if ddpm:
            a = now / then
            x = then.sqrt() * (1 - a) / (1 - now) * cut + a.sqrt() * (1 - then) / (1 - now) * x
            if t > 0:
                x = x + ((1 - then) / (1 - now) * (1 - a)).clamp(min=1e-20).sqrt() * added[i]
            continue
        e = now.sqrt() * out + (1 - now).sqrt() * x if v else (x - now.sqrt() * x0) / (1 - now).sqrt()
        var = how.get("eta", 0) ** 2 * (1 - then) / (1 - now) * (1 - now / then) if t - r >= 0 else torch.tensor(0.0)
        x = then.sqrt() * cut + (1 - then - var).sqrt() * e + var.sqrt() * (added[i] if how.get("eta") else 0)
    return x


RUNS = {
    "divae-rgb-ddim": ("rgb", {"steps": 5, "sampler": "ddim"}),
    "divae-rgb-ddpm": ("rgb", {"steps": 2, "sampler": "ddpm", "compatible": 1}),
    "divae-rgb-eta": ("rgb", {"steps": 4, "sampler": "ddim", "eta": 0.5, "guidance": 2}),
    "divae-edge-ddim": ("edge", {"steps": 4, "sampler": "ddim"}),
}


def main():
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, how) in RUNS.items():
            model = os.path.join(folder, kind)
            if not os.path.exists(model):
                subprocess.check_call([sys.executable, MAKE, kind, model, "--small"])
            net = Net(*read(model))
            torch.manual_seed(len(name))
            x = torch.rand(1, 3 if kind == "rgb" else 1, SIDE, SIDE) * 2 - 1
            latents, tokens, margin = net.encode(x)
            codes = net.lookup(tokens)
            noise, io = torch.randn_like(x), {}
            added = torch.randn(how["steps"], *x.shape)
            io = {"input": x, "latents": latents, "tokens": tokens.int(), "margin": margin, "quantized": codes,
                  "noise": noise, "decoded": decode(net, codes, noise, added, how)}
            if how["sampler"] == "ddpm" or how.get("eta"):
                io["step_noise"] = added
            write(os.path.join(HERE, name + ".io.safetensors"), io, {k: str(v) for k, v in how.items()})


main()

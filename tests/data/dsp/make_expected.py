#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write expected.h: what Pillow, librosa, SciPy and scikit-image say about made-up pictures and sounds.

Made with Pillow 9.4, librosa 0.11, SciPy 1.10, scikit-image 0.19. Two interpreters may be needed:
    make_expected.py pictures > pictures.h     (Pillow, scikit-image)
    make_expected.py sounds > sounds.h         (librosa, SciPy)
"""
import sys

import numpy as np

from madeup import fnv


def noise(seed, n):
    """The generator of dsp_testing.h: 32-bit values of a linear congruence."""
    out = np.empty(n, np.uint32)
    x = seed
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = x
    return out


def row(values):
    return "{" + ", ".join("%.9g" % v for v in values) + "}"


def pictures():
    from PIL import Image
    from skimage.metrics import structural_similarity

    filters = {"NEAREST": Image.NEAREST, "BOX": Image.BOX, "BILINEAR": Image.BILINEAR,
               "BICUBIC": Image.BICUBIC, "LANCZOS": Image.LANCZOS}
    sizes = [(37, 53, 16, 24), (37, 53, 37, 20), (37, 53, 80, 53), (20, 17, 41, 50), (64, 64, 64, 64),
             (1, 1, 5, 3), (90, 7, 3, 60), (100, 133, 32, 32), (31, 29, 1, 1)]
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(" * Made by make_expected.py with Pillow %s; do not edit. */" % Image.__version__)
    print("static const struct {\n    char mode; int h, w, h2, w2; tsr_filter filter; uint64_t digest;\n"
          "} resized[] = {")
    seed = 0
    for mode in "LPIF":
        for h, w, h2, w2 in sizes:
            for name, f in filters.items():
                seed += 1
                n = h * w * (3 if mode == "P" else 1)
                v = noise(seed, n)
                if mode == "L":
                    im = Image.fromarray((v >> 24).astype(np.uint8).reshape(h, w))
                elif mode == "P":
                    im = Image.fromarray((v >> 24).astype(np.uint8).reshape(h, w, 3))
                elif mode == "I":
                    im = Image.fromarray((v >> 16).astype(np.int32).reshape(h, w), "I")
                else:
                    im = Image.fromarray(((v >> 8).astype(np.float32) / 1024).reshape(h, w), "F")
                out = np.asarray(im.resize((w2, h2), f))
                print("    {'%s', %d, %d, %d, %d, TSR_FILTER_%s, 0x%016xu}," %
                      (mode, h, w, h2, w2, name, fnv(out.tobytes())))
    print("};")

    a = (noise(1000, 40 * 32 * 3) >> 24).astype(np.uint8).reshape(40, 32, 3)
    b = a.astype(int) + (noise(1001, 40 * 32 * 3) >> 28).astype(int).reshape(40, 32, 3) * 4 - 30
    b = np.clip(b, 0, 255).astype(np.uint8)
    ssim = structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False, data_range=255)
    mse = np.mean((a.astype(float) - b.astype(float)) ** 2)
    print("static const double expected_ssim = %.12g, expected_psnr = %.12g;" %
          (ssim, 10 * np.log10(255 ** 2 / mse)))

    im = Image.fromarray(a)
    y = np.asarray(im.convert("L")).astype(float)
    r, g, bl = (a[..., i].astype(float) for i in range(3))
    mx, mn = a.max(2).astype(float), a.min(2).astype(float)
    rg, yb = r - g, (r + g) / 2 - bl
    p = np.bincount(y.astype(int).ravel(), minlength=256) / y.size
    stats = [y.mean(), y.std(), np.mean(np.where(mx > 0, 255 * (mx - mn) / np.maximum(mx, 1), 0)),
             np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2),
             -np.sum(p[p > 0] * np.log2(p[p > 0]))]
    print("static const double expected_stats[5] = %s;" % row(stats))

    from skimage.color import rgb2lab
    lab = rgb2lab(a[:1, :8] / 255.0)[0]
    print("static const double expected_lab[8][3] = {\n    %s};" % ",\n    ".join(row(v) for v in lab))


def sounds():
    import librosa
    import scipy.signal

    x = (noise(7, 150) >> 8).astype(np.float32) / 2 ** 23 - 1
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(" * Made by make_expected.py with librosa %s; do not edit. */" % librosa.__version__)
    s = librosa.stft(x, n_fft=64, hop_length=16, win_length=48, window="hann", center=True,
                     pad_mode="constant")
    print("/* [frame][bin][re, im] */\nstatic const float expected_stft[%d][%d][2] = {" % s.T.shape)
    for f in s.T:
        print("    {" + ", ".join(row((c.real, c.imag)) for c in f) + "},")
    print("};")
    for name, htk in (("htk", True), ("slaney", False)):
        m = librosa.filters.mel(sr=16000, n_fft=128, n_mels=10, fmin=100, fmax=7000, htk=htk,
                                norm=None if htk else "slaney")
        print("static const float expected_%s[10][65] = {" % name)
        for f in m:
            print("    %s," % row(f))
        print("};")
    w = scipy.signal.get_window("hann", 48)
    print("static const float expected_window[48] = %s;" % row(w))


if __name__ == "__main__":
    {"pictures": pictures, "sounds": sounds}[sys.argv[1]]()

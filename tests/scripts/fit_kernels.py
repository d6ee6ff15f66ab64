#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomials of src/nn/kernel_math_body.h (minimax by iterated weighted least squares)."""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import log_ndtr, ndtr


def fit(f, low, high, degree, weight=np.ones_like, basis=lambda x: x, n=4000):
    """Coefficients of p, highest first, with p(basis(x)) near f(x) on [low, high]."""
    x = np.cos(np.pi * (np.arange(n) + 0.5) / n) * (high - low) / 2 + (low + high) / 2
    y, w, b = f(x), weight(x), basis(x)
    lo, hi = b.min(), b.max()
    v = chebyshev.chebvander((2 * b - lo - hi) / (hi - lo), degree)
    lawson = np.ones(n)
    for _ in range(60):
        s = np.sqrt(lawson) * w
        c = np.linalg.lstsq(v * s[:, None], y * s, rcond=None)[0]
        e = np.abs(v @ c - y) * w
        lawson *= e / e.max() + 1e-3
        lawson /= lawson.sum()
    p, line, out = chebyshev.cheb2poly(c), [-(lo + hi) / (hi - lo), 2 / (hi - lo)], np.zeros(1)
    for k in range(degree, -1, -1):
        out = polynomial.polyadd(polynomial.polymul(out, line), [p[k]])
    return [float(np.float32(t)) for t in out[: degree + 1][::-1]], e.max()


def show(name, result):
    print(f"{name}: error {result[1]:.1e}\n  " + ", ".join(f"{c:.8e}" for c in result[0]))


half = np.log(2) / 2 * 1.001
show("(exp(r) - 1 - r) / r^2", fit(lambda x: (np.expm1(x) - x) / (x * x), -half, half, 5))
show("(tanh(x) / x - 1) / x^2 in x^2",
     fit(lambda x: (np.tanh(x) / x - 1) / (x * x), 1e-3, 0.65, 5, np.square, np.square))
show("log Phi(-x)",
     fit(lambda x: log_ndtr(-x), 0, 6, 10,
         lambda x: np.minimum(1, 2 * np.exp(log_ndtr(-x)) * np.maximum(x, 0.3) + 1e-3)))


def slope(x):
    return ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


show("(Phi(x) - 1/2) / x in x^2",
     fit(lambda x: (ndtr(x) - 0.5) / x, 1e-3, 4.4, 9, lambda x: x * np.maximum(1, x), np.square))
show("(d/dx x Phi(x) - 1/2) / x in x^2",
     fit(lambda x: (slope(x) - 0.5) / x, 1e-3, 4.4, 9, lambda x: x, np.square))

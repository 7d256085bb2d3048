#!/usr/bin/env python3
"""One layer, and how well other implementations quantise it.

    python tools/dev/quantiser_fixtures.py tests/fixtures/quantise

layer.safetensors: w [N,K], the mean of x x^T over inputs with outliers and correlations, importance [K] (its diagonal);
nearest.*: the least weighted squared error of each group (of int8 and of whole steps: of each channel) that a dense
search in double precision finds; gptq.*: the mean over channels of (w - q) second (w - q)^T of GPTQ written from its paper
(arXiv:2210.17323) and AutoGPTQ's ranges: static groups, in order and by activation; the better of the two is kept.
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

N, K, ROWS, GROUP = 32, 144, 400, 32  # the last group has 16 inputs


def layer(seed: int):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(24, K)) * np.exp(0.8 * rng.normal(size=(1, K)))
    x = rng.standard_t(5, size=(ROWS, 24)) @ mixing + 0.3 * rng.normal(size=(ROWS, K))
    x[:, rng.integers(0, K, 3)] *= 8
    x += 0.5 * rng.normal(size=(1, K))
    w = rng.standard_t(4, size=(N, K)).astype(np.float32) * 0.05
    w[3] = 0
    return w, (x.T @ x / ROWS).astype(np.float32), x


def half(values):
    return np.asarray(values, np.float32).astype(np.float16).astype(np.float64)


def groups():
    return [slice(g, min(g + GROUP, K)) for g in range(0, K, GROUP)]


def weighted(w, q, importance):
    return ((w - q) ** 2 * importance).sum(-1)


def nearest_symmetric(w, importance):
    out = np.empty((len(w), len(groups())))
    for g, part in enumerate(groups()):
        v, weights = w[:, part], importance[part]
        best = weighted(v, 0, weights)
        for steps in np.linspace(4.5, 16, 461):
            for sign in (1, -1):
                scale = half(sign * np.abs(v).max(1, keepdims=True) / steps)
                safe = np.where(scale == 0, 1, scale)
                best = np.minimum(best, weighted(v, np.clip(np.rint(v / safe), -8, 7) * scale, weights))
        out[:, g] = best
    return out


def nearest_with_minimum(w, importance):
    out = np.empty((len(w), len(groups())))
    for g, part in enumerate(groups()):
        v, weights = w[:, part], importance[part]
        low, high = v.min(1, keepdims=True), v.max(1, keepdims=True)
        best = np.full(len(w), np.inf)
        for a in np.linspace(0, 0.4, 41):
            for b in np.linspace(0, 0.4, 41):
                if a + b >= 0.75:
                    continue
                scale, minimum = half((high - low) * (1 - a - b) / 15), half(low + (high - low) * a)
                safe = np.where(scale == 0, 1, scale)
                best = np.minimum(best, weighted(v, np.clip(np.rint((v - minimum) / safe), 0, 15) * scale + minimum,
                                                 weights))
        out[:, g] = best
    return out


def nearest_steps(w, importance):
    """Whole steps: every step and zero, of many scales of a channel."""
    best = np.full(len(w), np.inf)
    absmax = np.abs(w).max(1, keepdims=True)
    for steps in np.linspace(40, 140, 101):
        scale = absmax / steps
        total = np.zeros(len(w))
        for part in groups():
            v, weights = w[:, part], importance[part]
            least = weighted(v, 0, weights)
            for step in range(1, 12):
                size = np.where(scale == 0, 1, step * scale)
                for zero in range(4, 12):
                    q = (np.clip(np.rint(v / size) + zero, 0, 15) - zero) * size
                    least = np.minimum(least, weighted(v, q, weights))
            total += least
        best = np.minimum(best, total)
    return best


def nearest_int8(w, importance):
    best = np.full(len(w), np.inf)
    for part in np.linspace(0.3, 1, 701):
        scale = np.abs(w).max(1, keepdims=True) * part / 127
        safe = np.where(scale == 0, 1, scale)
        best = np.minimum(best, weighted(w, np.clip(np.rint(w / safe), -127, 127) * scale, importance))
    return best


def find_range(w, bits, symmetric):
    """AutoGPTQ's Quantizer.find_params with mse=True: scale, zero and codes 0..maxq of each row."""
    maxq = 2 ** bits - 1
    low, high = np.minimum(w.min(1), 0), np.maximum(w.max(1), 0)
    if symmetric:
        high = np.maximum(np.abs(low), high)
        low = np.where(low < 0, -high, low)
    empty = (low == 0) & (high == 0)
    low, high = np.where(empty, -1, low), np.where(empty, 1, high)

    def parameters(part):
        scale = (high - low) * part / maxq
        return scale, np.full(len(w), (maxq + 1) / 2) if symmetric else np.rint(-low * part / scale)

    scale, zero = parameters(1.0)
    best = np.full(len(w), np.inf)
    for i in range(80):
        s, z = parameters(1 - i / 100)
        q = (np.clip(np.rint(w / s[:, None]) + z[:, None], 0, maxq) - z[:, None]) * s[:, None]
        error = (np.abs(q - w) ** 2.4).sum(1)
        better = error < best
        best, scale, zero = np.where(better, error, best), np.where(better, s, scale), np.where(better, z, zero)
    return scale, zero, maxq


def gptq(w, second, bits, symmetric, group, by_activation, damping=0.01):
    w, h = w.astype(np.float64).copy(), second.astype(np.float64).copy()
    order = np.argsort(-np.diag(h), kind="stable") if by_activation else np.arange(K)
    ranges = {g: find_range(w[:, g:g + group], bits, symmetric) for g in range(0, K, group)}
    h += damping * np.diag(h).mean() * np.eye(K)
    root = np.linalg.cholesky(np.linalg.inv(h[order][:, order])).T  # upper: root^T root is the inverse
    rest, q = w[:, order].copy(), np.empty_like(w)
    for i, at in enumerate(order):
        scale, zero, maxq = ranges[at // group * group]
        q[:, i] = (np.clip(np.rint(rest[:, i] / scale) + zero, 0, maxq) - zero) * scale
        lost = (rest[:, i] - q[:, i]) / root[i, i]
        rest[:, i:] -= np.outer(lost, root[i, i:])
    out = np.empty_like(w)
    out[:, order] = q
    return out


def output_error(w, q, second):
    lost = w.astype(np.float64) - q
    return np.einsum("ni,ij,nj->", lost, second.astype(np.float64), lost) / len(w)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    w, second, _ = layer(7)
    importance = np.ascontiguousarray(np.diag(second))
    wide, weights = w.astype(np.float64), importance.astype(np.float64)
    tensors = {
        "w": w, "second": second, "importance": importance,
        "nearest.i4g32": nearest_symmetric(wide, weights),
        "nearest.i4mg32": nearest_with_minimum(wide, weights),
        "nearest.i4zg32": nearest_steps(wide, weights),
        "nearest.i8": nearest_int8(wide, weights),
    }
    for name, bits, symmetric, group in (("i4g32", 4, True, GROUP), ("i4mg32", 4, False, GROUP), ("i8", 8, True, K)):
        errors = [output_error(w, gptq(w, second, bits, symmetric, group, by), second) for by in (False, True)]
        print(name, errors)
        tensors["gptq." + name] = np.array([min(errors)])
    save_file({n: np.ascontiguousarray(t, np.float32) for n, t in tensors.items()}, folder / "layer.safetensors")


if __name__ == "__main__":
    main()

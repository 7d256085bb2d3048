"""Data reading, metrics, threshold fitting and weight files shared by the recipe.

Every number printed by the recipe comes from the functions in this file, so that
training, export and evaluation cannot disagree about a definition.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

PAD_NAMES = ("pleasure", "arousal", "dominance")
N_EMOTION = 28
N_PAD = 3


@dataclass
class Split:
    """One split of one data set: texts and whichever gold labels it has."""

    texts: list[str]
    emotion: np.ndarray | None = None  # [n, 28] of 0/1
    pad: np.ndarray | None = None  # [n, 3] in -1..1

    def __len__(self) -> int:
        return len(self.texts)


def read_goemotions(folder: str | Path, split: str) -> Split:
    """Read ``<folder>/<split>.tsv``: text, comma-separated label ids, comment id."""
    texts: list[str] = []
    rows: list[list[int]] = []
    with open(Path(folder) / f"{split}.tsv", encoding="utf-8", newline="\n") as handle:
        for line in handle:
            text, ids, _ = line.rstrip("\n").split("\t")
            texts.append(text)
            rows.append([int(i) for i in ids.split(",")])
    gold = np.zeros((len(texts), N_EMOTION), dtype=np.float32)
    for row, ids in enumerate(rows):
        gold[row, ids] = 1.0
    return Split(texts, emotion=gold)


def read_emobank(path: str | Path, split: str) -> Split:
    """Read one split of emobank.csv; V, A, D on 1..5 become (x - 3) / 2."""
    texts: list[str] = []
    pad: list[list[float]] = []
    with open(path, encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["split"] == split:
                texts.append(row["text"])
                pad.append([(float(row[k]) - 3.0) / 2.0 for k in "VAD"])
    return Split(texts, pad=np.asarray(pad, dtype=np.float32))


def read_labels(folder: str | Path) -> list[str]:
    """The 28 emotion names in id order."""
    return (Path(folder) / "labels.txt").read_text(encoding="utf-8").split()


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Load tokenizer.json with truncation and padding switched off."""
    tok = Tokenizer.from_file(str(path))
    tok.no_truncation()
    tok.no_padding()
    return tok


def encode(tok: Tokenizer, texts: list[str], max_tokens: int) -> list[list[int]]:
    """Token ids of every text, cut to max_tokens keeping the final [SEP]."""
    out = []
    for enc in tok.encode_batch(texts):
        ids = enc.ids
        out.append(ids if len(ids) <= max_tokens else ids[: max_tokens - 1] + ids[-1:])
    return out


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Numerically safe logistic function in float64."""
    x = np.asarray(x, dtype=np.float64)
    return 0.5 * (1.0 + np.tanh(0.5 * x))


# --- emotion metrics -------------------------------------------------------------


def label_f1(pred: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """F1 of every label; 0 where 2TP + FP + FN is 0 or nothing true was predicted."""
    tp = (pred * gold).sum(0).astype(np.float64)
    denom = pred.sum(0).astype(np.float64) + gold.sum(0)
    return np.where(denom > 0, 2 * tp / np.maximum(denom, 1), 0.0)


def micro_f1(pred: np.ndarray, gold: np.ndarray) -> float:
    """F1 over all (text, label) decisions pooled."""
    tp = float((pred * gold).sum())
    return 2 * tp / max(float(pred.sum() + gold.sum()), 1.0)


def average_precision(score: np.ndarray, gold: np.ndarray) -> float:
    """Step-wise average precision (sum of (R_i - R_{i-1}) P_i over distinct scores)."""
    order = np.argsort(-score, kind="stable")
    s, g = score[order], gold[order]
    last_of_tie = np.r_[s[1:] != s[:-1], True]
    tp = np.cumsum(g)[last_of_tie]
    n = np.flatnonzero(last_of_tie) + 1.0
    recall = tp / max(g.sum(), 1)
    return float(np.sum(np.diff(np.r_[0.0, recall]) * tp / n))


def macro_ap(score: np.ndarray, gold: np.ndarray) -> float:
    """Unweighted mean of average precision over labels."""
    return float(np.mean([average_precision(score[:, k], gold[:, k]) for k in range(gold.shape[1])]))


def ece(prob: np.ndarray, gold: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over all n x 28 probabilities pooled.

    A probability p falls in bin min(floor(p * bins), bins - 1); the value is
    sum over bins of (count / total) * |mean(p) - mean(gold)|.
    """
    p, g = prob.ravel(), gold.ravel()
    idx = np.minimum((p * bins).astype(int), bins - 1)
    total_p = np.bincount(idx, weights=p, minlength=bins)
    total_g = np.bincount(idx, weights=g, minlength=bins)
    return float(np.abs(total_p - total_g).sum() / p.size)


# --- PAD metrics -----------------------------------------------------------------


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation."""
    return float(np.corrcoef(a, b)[0, 1])


def ccc(a: np.ndarray, b: np.ndarray) -> float:
    """Lin's concordance correlation with population (1/n) moments."""
    cov = float(np.mean((a - a.mean()) * (b - b.mean())))
    return 2 * cov / float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)


def pad_metrics(pred: np.ndarray, gold: np.ndarray) -> dict[str, dict[str, float]]:
    """Pearson r, CCC and mean absolute error for each dimension, on -1..1."""
    out: dict[str, dict[str, float]] = {"pearson": {}, "ccc": {}, "mae": {}}
    for k, name in enumerate(PAD_NAMES):
        out["pearson"][name] = pearson(pred[:, k], gold[:, k])
        out["ccc"][name] = ccc(pred[:, k], gold[:, k])
        out["mae"][name] = float(np.abs(pred[:, k] - gold[:, k]).mean())
    return out


# --- calibration and thresholds ----------------------------------------------------


def fit_temperature(logits: np.ndarray, gold: np.ndarray) -> float:
    """Temperature that minimises the pooled binary cross-entropy."""
    best, best_t = np.inf, 1.0
    for t in np.exp(np.linspace(np.log(0.4), np.log(3.0), 162)):
        z = logits / t
        nll = float(np.mean(np.logaddexp(0, z) - gold * z))
        if nll < best:
            best, best_t = nll, float(t)
    return best_t


def _calibrate_label(z: np.ndarray, g: np.ndarray, ridge: float = 2.0) -> np.ndarray:
    """Platt scaling of one label (slope, shift) with a ridge toward identity."""
    a, b = 1.0, 0.0
    for _ in range(30):
        p = sigmoid(a * z + b)
        w = p * (1 - p)
        grad = np.array([np.sum((p - g) * z) + ridge * (a - 1), np.sum(p - g) + ridge * b])
        hess = np.array([[np.sum(w * z * z) + ridge, np.sum(w * z)], [np.sum(w * z), np.sum(w) + ridge]])
        step = np.linalg.solve(hess, grad)
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-7:
            break
    return sigmoid(a * z + b)


def fit_thresholds(logits: np.ndarray, gold: np.ndarray, temperature: float, mix: float = 0.5) -> np.ndarray:
    """Per-label thresholds on sigmoid(logit / temperature), regularised.

    Maximising the empirical F1 of a label with a dozen positives chases noise. Here the
    0/1 labels are first mixed with the label's own calibrated probabilities
    (soft = (1 - mix) * gold + mix * p): with mix = 1 this is the plug-in optimum of a
    calibrated model, with mix = 0 the raw empirical optimum. The threshold is the middle
    of the gap between the two scores around the best cut.
    """
    out = np.zeros(gold.shape[1])
    z_all = np.asarray(logits, dtype=np.float64) / temperature
    for k in range(gold.shape[1]):
        z = z_all[:, k]
        soft = (1 - mix) * gold[:, k] + mix * _calibrate_label(z, gold[:, k])
        order = np.argsort(-z, kind="stable")
        tp = np.cumsum(soft[order])
        f1 = 2 * tp / (np.arange(1, len(z) + 1) + soft.sum())
        cut = int(np.argmax(f1))
        low = z[order[min(cut + 1, len(z) - 1)]]
        out[k] = float(sigmoid(np.array(0.5 * (z[order[cut]] + low))))
    return out


def cross_fitted_f1(logits: np.ndarray, gold: np.ndarray, mix: float, repeats: int = 10) -> float:
    """Honest dev macro-F1: thresholds from one random half, F1 on the other half."""
    scores = []
    for rep in range(repeats):
        order = np.random.RandomState(rep).permutation(len(gold))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        for fit, held in (halves, halves[::-1]):
            t = fit_temperature(logits[fit], gold[fit])
            th = fit_thresholds(logits[fit], gold[fit], t, mix)
            scores.append(label_f1(sigmoid(logits[held] / t) >= th, gold[held]).mean())
    return float(np.mean(scores))


def write_json(path: str | Path, value: object) -> None:
    """Write JSON with a final newline."""
    Path(path).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

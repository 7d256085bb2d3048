"""Average teacher predictions on the train texts into soft targets for train.py --soft.

Each teacher is ``weights.pt:pooling`` (predicted here) or a ``pred.npz`` that train.py
wrote with --predict. Emotion probabilities and PAD values are averaged arithmetically.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import common as C
from model import Net, predict


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--goemotions", required=True)
    p.add_argument("--emobank", required=True)
    p.add_argument("--base", required=True, help="folder with tokenizer.json")
    p.add_argument("--teachers", required=True, nargs="+")
    p.add_argument("--max-tokens", type=int, default=80)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    torch.set_num_threads(1)
    tok = C.load_tokenizer(Path(args.base) / "tokenizer.json")
    go, eb = C.read_goemotions(args.goemotions, "train"), C.read_emobank(args.emobank, "train")
    encoded = C.encode(tok, go.texts, args.max_tokens) + C.encode(tok, eb.texts, args.max_tokens)
    mean, std = eb.pad.mean(0), eb.pad.std(0)
    emotion, pad = np.zeros((len(encoded), 28)), np.zeros((len(encoded), 3))
    for teacher in args.teachers:
        if teacher.endswith(".npz"):
            data = np.load(teacher)
            z, v = data["emotion"], data["pad"]
        else:
            path, pooling = teacher.rsplit(":", 1)
            net = Net(torch.load(path), pooling, 0.0)
            logits, standard = predict(net, encoded, torch.bfloat16)
            z, v = logits.numpy(), standard.numpy() * std + mean
            np.savez(Path(path).with_name("train_pred.npz"), emotion=z, pad=v)
        emotion += C.sigmoid(z) / len(args.teachers)
        pad += v / len(args.teachers)
    np.savez(args.out, emotion=emotion.astype(np.float32), pad=pad.astype(np.float32))


if __name__ == "__main__":
    main()

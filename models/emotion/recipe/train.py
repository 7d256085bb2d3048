"""Train one multi-task model (28 emotions + PAD), on gold labels or by distillation.

Gold mode needs only the data; ``--soft`` adds teacher predictions (see soften.py).
Batches hold one data set each, sorted by length, and are visited in random order.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import common as C
from model import WORD, LAYERS, Net, collate, load_base, new_heads, predict


def arguments() -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--goemotions", required=True, help="folder with {train,dev}.tsv")
    p.add_argument("--emobank", required=True, help="emobank.csv")
    p.add_argument("--base", required=True, help="folder with model.safetensors and tokenizer.json")
    p.add_argument("--out", required=True)
    p.add_argument("--init", nargs="*", default=[], help="weights.pt files whose average is the start")
    p.add_argument("--soft", default="", help="npz of teacher predictions on the train texts")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--epochs", type=float, default=4)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=1e-4)
    p.add_argument("--head-lr", type=float, default=5e-4)
    p.add_argument("--layer-decay", type=float, default=0.9)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--weight-decay", type=float, default=0.01)
    p.add_argument("--pooling", default="first_token", choices=["first_token", "mean"])
    p.add_argument("--loss", default="bce", choices=["bce", "asl", "focal"])
    p.add_argument("--gamma", type=float, default=2.0, help="focusing of asl (negatives) or focal")
    p.add_argument("--pos-alpha", type=float, default=0.0, help="positive weight = (neg/pos)^alpha")
    p.add_argument("--pad-weight", type=float, default=0.5)
    p.add_argument("--corr-weight", type=float, default=1.0)
    p.add_argument("--pad-repeat", type=int, default=1, help="passes over EmoBank per epoch")
    p.add_argument("--soft-emotion", type=float, default=0.7, help="share of the teacher where gold exists")
    p.add_argument("--soft-pad", type=float, default=0.5)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--int8", action="store_true", help="train with simulated int8 linear layers")
    p.add_argument("--fold", default="", help="k/K: leave out rows with index %% K == k")
    p.add_argument("--max-tokens", type=int, default=80)
    p.add_argument("--limit-steps", type=int, default=0, help="stop early (timing)")
    p.add_argument("--predict", action="store_true", help="also write predictions on train texts")
    return p.parse_args()


def emotion_loss(z: torch.Tensor, y: torch.Tensor, kind: str, gamma: float, pos_weight: torch.Tensor) -> torch.Tensor:
    """Sum over labels, mean over the batch, of a weighted binary loss with soft targets."""
    log_p, log_n = F.logsigmoid(z), F.logsigmoid(-z)
    pos, neg = y * log_p, (1 - y) * log_n
    if kind == "asl":  # focusing on negatives only
        p = torch.sigmoid(z)
        neg = neg * p.detach() ** gamma
    elif kind == "focal":
        p = torch.sigmoid(z).detach()
        pos, neg = pos * (1 - p) ** gamma, neg * p**gamma
    return -(pos * pos_weight + neg).sum(1).mean()


def pad_loss(out: torch.Tensor, y: torch.Tensor, corr_weight: float) -> torch.Tensor:
    """Squared error of standardised values plus (1 - CCC) within the batch, summed over 3."""
    loss = F.mse_loss(out, y, reduction="none").mean(0).sum()
    if corr_weight:
        a, b = out - out.mean(0), y - y.mean(0)
        conc = 2 * (a * b).mean(0) / (a.pow(2).mean(0) + b.pow(2).mean(0) + (out.mean(0) - y.mean(0)) ** 2 + 1e-6)
        loss = loss + corr_weight * (1 - conc).sum()
    return loss


class RowAdam:
    """Adam on the word table that touches only the rows of the current batch."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table
        self.m, self.v = torch.zeros_like(table), torch.zeros_like(table)
        self.count = torch.zeros(table.shape[0], 1)

    def step(self, rows: torch.Tensor, grad: torch.Tensor, lr: float) -> None:
        """One update of the given unique rows, with per-row bias correction."""
        n = self.count[rows] + 1
        m = self.m[rows].lerp(grad, 0.1)
        v = self.v[rows].lerp(grad * grad, 0.001)
        self.m[rows], self.v[rows], self.count[rows] = m, v, n
        self.table[rows] -= lr * (m / (1 - 0.9**n)) / ((v / (1 - 0.999**n)).sqrt() + 1e-6)


def param_groups(net: Net, args: argparse.Namespace) -> tuple[list[dict], float]:
    """Layer-wise decayed learning rates; returns groups and the word table's rate."""
    groups: dict[tuple[float, bool], list[torch.Tensor]] = {}
    for name, t in net.trained().items():
        if name.startswith("heads."):
            lr = args.head_lr
        elif name.startswith("pooler."):
            lr = args.lr
        elif name.startswith("embeddings."):
            lr = args.lr * args.layer_decay ** (LAYERS + 1)
        else:
            lr = args.lr * args.layer_decay ** (LAYERS - int(name.split(".")[2]))
        groups.setdefault((lr, t.ndim > 1), []).append(t)
    out = [
        {"params": ts, "lr": lr, "base_lr": lr, "weight_decay": args.weight_decay if decay else 0.0}
        for (lr, decay), ts in groups.items()
    ]
    return out, args.lr * args.layer_decay ** (LAYERS + 1)


def make_batches(encoded: list[list[int]], rows: np.ndarray, size: int, rng: np.random.RandomState) -> list[np.ndarray]:
    """Random batches of similar length: jittered sort by length, then cut."""
    length = np.array([len(encoded[i]) for i in rows]) + rng.uniform(-1.0, 1.0, len(rows))
    order = rows[np.argsort(length, kind="stable")]
    return [order[s : s + size] for s in range(0, len(order), size) if len(order[s : s + size]) > 8]


def report(net: Net, dev_go: C.Split, enc_go: list, dev_eb: C.Split, enc_eb: list, mean: np.ndarray, std: np.ndarray,
           repeats: int = 3) -> tuple[str, np.ndarray, np.ndarray]:
    """Dev metrics in one line, and the two arrays of outputs."""
    logits = predict(net, enc_go, torch.bfloat16)[0].numpy()
    pad = predict(net, enc_eb, torch.bfloat16)[1].numpy() * std + mean
    r = [C.pearson(pad[:, k], dev_eb.pad[:, k]) for k in range(3)]
    t = C.fit_temperature(logits, dev_go.emotion)
    z = logits / t
    nll = float(np.mean(np.logaddexp(0, z) - dev_go.emotion * z)) * 28
    line = (f"AP {C.macro_ap(logits, dev_go.emotion):.4f} cvF1(.5) {C.cross_fitted_f1(logits, dev_go.emotion, 0.5, repeats):.4f} "
            f"nll {nll:.4f} T {t:.2f} r {r[0]:.4f} {r[1]:.4f} {r[2]:.4f} mean {np.mean(r):.4f}")
    return line, logits, pad


def main() -> None:
    """Train and write weights.pt and predictions."""
    args = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.RandomState(args.seed)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    print(vars(args), flush=True)

    tok = C.load_tokenizer(Path(args.base) / "tokenizer.json")
    go, eb = C.read_goemotions(args.goemotions, "train"), C.read_emobank(args.emobank, "train")
    go_dev, eb_dev = C.read_goemotions(args.goemotions, "dev"), C.read_emobank(args.emobank, "dev")
    enc = C.encode(tok, go.texts, args.max_tokens) + C.encode(tok, eb.texts, args.max_tokens)
    enc_go_dev, enc_eb_dev = C.encode(tok, go_dev.texts, args.max_tokens), C.encode(tok, eb_dev.texts, args.max_tokens)
    n_go, n_eb = len(go), len(eb)
    mean, std = eb.pad.mean(0), eb.pad.std(0)

    # targets: [n_go + n_eb] rows; without a teacher a head has no target off its own data
    y_emotion = torch.zeros(n_go + n_eb, 28)
    soft_emotion = torch.zeros(n_go + n_eb, 28)
    y_pad = torch.zeros(n_go + n_eb, 3)
    y_emotion[:n_go] = torch.from_numpy(go.emotion)
    y_pad[n_go:] = torch.from_numpy((eb.pad - mean) / std)
    if args.soft:
        soft = np.load(args.soft)
        se = torch.from_numpy(soft["emotion"]).float()
        sp = torch.from_numpy((soft["pad"] - mean) / std).float()
        soft_emotion = se
        y_pad[n_go:] = args.soft_pad * sp[n_go:] + (1 - args.soft_pad) * y_pad[n_go:]
        y_pad[:n_go] = sp[:n_go]

    if args.init:
        states = [torch.load(f) for f in args.init]
        tensors = {k: sum(s[k] for s in states) / len(states) for k in states[0]}
    else:
        tensors = load_base(args.base)
        tensors.update(new_heads(torch.Generator().manual_seed(args.seed)))
    net = Net(tensors, args.pooling, args.dropout)
    net.int8 = args.int8
    net.train()
    groups, word_lr = param_groups(net, args)
    opt = torch.optim.AdamW(groups, fused=True)
    word = RowAdam(net.t[WORD])
    dense = [p for g in groups for p in g["params"]]
    average = {k: v.detach().clone() for k, v in net.t.items()}

    n_pos = go.emotion.sum(0)
    pos_weight = torch.from_numpy(((n_go - n_pos) / n_pos) ** args.pos_alpha).float()
    rows_go, rows_eb = np.arange(n_go), np.arange(n_go, n_go + n_eb)
    if args.fold:
        k, of = (int(x) for x in args.fold.split("/"))
        rows_go, rows_eb = rows_go[rows_go % of != k], rows_eb[rows_eb % of != k]
    per_epoch = math.ceil(len(rows_go) / args.batch) + args.pad_repeat * math.ceil(len(rows_eb) / args.batch)
    total = int(per_epoch * args.epochs)
    warm = max(1, int(0.08 * total))
    step, began, seen = 0, time.time(), 0
    while step < total:
        net.drop.redraw()
        batches = make_batches(enc, rows_go, args.batch, rng)
        for _ in range(args.pad_repeat):
            batches += make_batches(enc, rows_eb, args.batch, rng)
        rng.shuffle(order := np.arange(len(batches)))
        running: list[float] = []
        for which in order:
            pick = batches[which]
            is_go = pick[0] < n_go
            ids, lengths = collate([enc[i] for i in pick])
            rows, inverse = torch.unique(ids, return_inverse=True)
            table = net.t[WORD][rows].requires_grad_(True)
            z, pad = net(inverse, lengths, table)
            at = torch.from_numpy(pick)
            loss = torch.zeros(())
            share = 0.0 if not args.soft else args.soft_emotion if is_go else 1.0
            if share > 0:  # the teacher's probabilities already carry its class weights
                loss = loss + share * emotion_loss(z, soft_emotion[at], "bce", 0.0, torch.ones(28))
            if share < 1 and is_go:
                loss = loss + (1 - share) * emotion_loss(z, y_emotion[at], args.loss, args.gamma, pos_weight)
            if not is_go or args.soft:
                loss = loss + args.pad_weight * pad_loss(pad, y_pad[at], args.corr_weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(dense, 2.0, foreach=True)
            factor = step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
            for g in opt.param_groups:
                g["lr"] = g["base_lr"] * factor
            opt.step()
            opt.zero_grad(set_to_none=True)
            with torch.no_grad():
                word.step(rows, table.grad, word_lr * factor)
            running.append(loss.item())
            step, seen = step + 1, seen + len(pick)
            if step % 10 == 0:
                decay = min(args.ema, (1 + step) / (10 + step)) ** 10
                with torch.no_grad():
                    for key, value in average.items():
                        value.lerp_(net.t[key], 1 - decay)
            if step % 200 == 0:
                print(f"step {step}/{total} loss {np.mean(running[-200:]):.4f} "
                      f"{(time.time() - began) / seen * 1e3:.2f} ms/text", flush=True)
            if step >= total or (args.limit_steps and step >= args.limit_steps):
                break
        if args.limit_steps and step >= args.limit_steps:
            break
        ema_net = Net(average, args.pooling, 0.0)
        line, _, _ = report(ema_net, go_dev, enc_go_dev, eb_dev, enc_eb_dev, mean, std)
        torch.save(average, out / "weights.pt")
        print(f"epoch {step / per_epoch:.2f} loss {np.mean(running):.4f} {time.time() - began:.0f} s dev(ema): {line}", flush=True)

    torch.save(average, out / "weights.pt")
    ema_net = Net(average, args.pooling, 0.0)
    line, logits, pad = report(ema_net, go_dev, enc_go_dev, eb_dev, enc_eb_dev, mean, std, 10)
    print("final dev(ema):", line, flush=True)
    saved = {"dev_emotion": logits, "dev_pad": pad}
    if args.predict:
        emotion, pad_out = predict(ema_net, enc, torch.bfloat16)
        saved.update(emotion=emotion.numpy(), pad=pad_out.numpy() * std + mean)
    np.savez(out / "pred.npz", **saved)
    print(f"done {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()

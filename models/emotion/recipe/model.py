"""A compact BERT for CPU training, with the parameter names of Hugging Face BertModel.

Mathematically it is BertModel + first-token (or mean) pooling + dense tanh pooler + two
linear heads. It exists because it trains about twice as fast on one CPU core as the library
model: bf16 matrix products with plain (not fused) attention, dropout from a
pre-drawn pool of masks, and gradients only for embedding rows a batch uses.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

HIDDEN = 384
HEADS = 12
LAYERS = 6
EPS = 1e-12
WORD = "embeddings.word_embeddings.weight"


class DropoutPool:
    """Dropout masks cut at random offsets from one pre-drawn pool."""

    def __init__(self, p: float, size: int = 1 << 23) -> None:
        self.p = p
        self.size = size
        self.redraw()

    def redraw(self) -> None:
        """Draw the pool afresh (call once per epoch)."""
        keep = torch.rand(self.size) >= self.p
        self.pool = keep.to(torch.bfloat16) / (1.0 - self.p)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of x with probability p."""
        if self.p == 0.0:
            return x
        n = x.numel()
        start = int(torch.randint(0, self.size - n, (1,)))
        return x * self.pool[start : start + n].view(x.shape)


def load_base(folder: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a BertModel folder as float32, without position_ids."""
    raw = load_file(str(Path(folder) / "model.safetensors"))
    return {k: v.float() for k, v in raw.items() if "position_ids" not in k}


def new_heads(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Small random heads; the emotion bias starts near the base rate."""
    return {
        "heads.emotion.weight": torch.randn(28, HIDDEN, generator=generator) * 0.02,
        "heads.emotion.bias": torch.full((28,), -3.0),
        "heads.pad.weight": torch.randn(3, HIDDEN, generator=generator) * 0.02,
        "heads.pad.bias": torch.zeros(3),
    }


def fake_quant_weight(w: torch.Tensor) -> torch.Tensor:
    """Symmetric int8 per output row, straight-through gradient."""
    scale = w.detach().abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127.0
    q = torch.round(w.detach() / scale).clamp(-127, 127) * scale
    return w + (q - w).detach()


def fake_quant_rows(x: torch.Tensor) -> torch.Tensor:
    """Symmetric int8 per token (last axis), straight-through gradient."""
    return fake_quant_weight(x)


class Net(torch.nn.Module):
    """The encoder, pooler and heads over a flat dictionary of parameters."""

    def __init__(self, tensors: dict[str, torch.Tensor], pooling: str = "first_token", dropout: float = 0.1) -> None:
        super().__init__()
        self.t = {k: v.clone() for k, v in tensors.items()}
        for k, v in self.t.items():
            v.requires_grad_(k != WORD)
        self.pooling = pooling
        self.drop = DropoutPool(dropout)
        self.int8 = False  # simulate the engine's int8 linear layers
        self.dtype = torch.bfloat16

    def trained(self) -> dict[str, torch.Tensor]:
        """All dense trainable tensors (the word table is updated row-wise elsewhere)."""
        return {k: v for k, v in self.t.items() if k != WORD}

    def _linear(self, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if self.int8:
            w, x = fake_quant_weight(w), fake_quant_rows(x.float()).to(self.dtype)
        return F.linear(x, w.to(self.dtype), b.to(self.dtype))

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        t = self.t
        return F.layer_norm(x, (HIDDEN,), t[name + ".weight"].to(x.dtype), t[name + ".bias"].to(x.dtype), EPS)

    def forward(
        self, ids: torch.Tensor, lengths: torch.Tensor, rows: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Emotion logits [b, 28] and raw PAD outputs [b, 3].

        ``rows``, if given, is the compact word table and ``ids`` index it.
        """
        t, (b, n) = self.t, ids.shape
        drop = self.drop if self.training else (lambda x: x)
        table = t[WORD] if rows is None else rows
        if self.int8:
            table = fake_quant_rows(table)
        x = F.embedding(ids, table) + t["embeddings.position_embeddings.weight"][:n]
        x = x + t["embeddings.token_type_embeddings.weight"][0]
        x = drop(self._norm(x.to(self.dtype), "embeddings.LayerNorm"))
        bias = None
        if int(lengths.min()) < n:
            outside = torch.arange(n)[None, :] >= lengths[:, None]
            bias = torch.zeros(b, 1, 1, n).masked_fill(outside[:, None, None, :], -1e4).to(self.dtype)
        for i in range(LAYERS):
            p = f"encoder.layer.{i}."
            a = p + "attention.self."
            qkv_w = torch.cat([t[a + k + ".weight"] for k in ("query", "key", "value")])
            qkv_b = torch.cat([t[a + k + ".bias"] for k in ("query", "key", "value")])
            qkv = self._linear(x, qkv_w, qkv_b).view(b, n, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
            q, k, v = qkv[0], qkv[1], qkv[2]
            score = torch.matmul(q * (1.0 / math.sqrt(HIDDEN // HEADS)), k.transpose(-1, -2))
            if bias is not None:
                score = score + bias
            prob = drop(torch.softmax(score, -1))
            ctx = torch.matmul(prob, v).transpose(1, 2).reshape(b, n, HIDDEN)
            o = p + "attention.output."
            y = drop(self._linear(ctx, t[o + "dense.weight"], t[o + "dense.bias"]))
            x = self._norm(x + y, o + "LayerNorm")
            if i == LAYERS - 1 and self.pooling == "first_token":
                x = x[:, 0]
            y = F.gelu(self._linear(x, t[p + "intermediate.dense.weight"], t[p + "intermediate.dense.bias"]))
            y = drop(self._linear(y, t[p + "output.dense.weight"], t[p + "output.dense.bias"]))
            x = self._norm(x + y, p + "output.LayerNorm")
        if self.pooling == "mean":
            inside = (torch.arange(n)[None, :] < lengths[:, None]).to(x.dtype)[:, :, None]
            x = (x * inside).sum(1) / lengths[:, None].to(x.dtype)
        x = torch.tanh(self._linear(x, t["pooler.dense.weight"], t["pooler.dense.bias"])).float()
        x = drop(x).float()
        emotion = F.linear(x, t["heads.emotion.weight"], t["heads.emotion.bias"])
        return emotion, F.linear(x, t["heads.pad.weight"], t["heads.pad.bias"])


def predict(net: Net, encoded: list[list[int]], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of both heads for encoded texts, in their order."""
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    emotion, pad = torch.zeros(len(encoded), 28), torch.zeros(len(encoded), 3)
    was, net.dtype = (net.training, net.dtype), dtype
    net.eval()
    with torch.no_grad():
        for s in range(0, len(order), 64):
            pick = order[s : s + 64]
            ids, lengths = collate([encoded[i] for i in pick])
            emotion[pick], pad[pick] = net(ids, lengths)
    net.training, net.dtype = was
    return emotion, pad


def collate(batch: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad token ids with 0; also the lengths."""
    lengths = torch.tensor([len(x) for x in batch])
    ids = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
    for i, x in enumerate(batch):
        ids[i, : len(x)] = torch.tensor(x)
    return ids, lengths

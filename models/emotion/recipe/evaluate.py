"""Evaluate a model folder of this form on GoEmotions and EmoBank with PyTorch.

Prints one JSON line for each head::

    {"n":5427,"head":"emotion","macro_f1":..,"micro_f1":..,"macro_ap":..,"ece":..}
    {"n":1000,"head":"pad","pearson":{"pleasure":..,..},"ccc":{..},"mae":{..}}

Definitions (any other implementation should follow these to the letter):

* Texts are tokenised whole with the folder's tokenizer.json ([CLS] text [SEP]) and cut to
  ``max_tokens`` of onepass.json, keeping the final [SEP].
* Probability of label k: p = sigmoid(logit_k / temperature). Label k is predicted where
  p >= thresholds[k]. No fallback when no label is predicted.
* macro_f1: unweighted mean over the 28 labels of 2TP / (2TP + FP + FN); a label with no
  predicted positive (or with an empty denominator) counts as 0.
* micro_f1: the same formula with TP, FP, FN summed over all labels.
* macro_ap: unweighted mean over labels of average precision, i.e. the sum over distinct
  scores, from high to low, of (recall_i - recall_{i-1}) * precision_i (no interpolation;
  the same as sklearn.metrics.average_precision_score).
* ece: all n x 28 probabilities (after temperature) pooled into 15 equal-width bins of
  [0, 1]; p is in bin min(floor(15 p), 14). ece = sum over bins of
  (count / total) * |mean p in the bin - fraction of true labels in the bin|.
* PAD gold is (x - 3) / 2 of EmoBank's V, A, D; the prediction is the raw output clamped to
  -1..1. pearson: correlation. ccc: 2 cov / (var_a + var_b + (mean_a - mean_b)^2) with 1/n
  moments. mae: mean absolute difference, on the -1..1 scale.

``--int8`` simulates 8-bit inference: linear layers of the encoder and pooler with symmetric
int8 weights (one scale per output channel) and activations (one scale per token, dynamic), word,
position and token-type embeddings with one scale per row; everything else stays in float32.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

import common as C


def round_rows(x: torch.Tensor) -> torch.Tensor:
    """Symmetric int8 rounding with one scale per last-axis row."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127.0
    return torch.round(x / scale).clamp(-127, 127) * scale


def simulate_int8(model: BertModel) -> None:
    """Round weights in place; round the input of every linear layer on the fly."""
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            module.weight.data = round_rows(module.weight.data)
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: (round_rows(inputs[0]),))


def load_model(folder: Path) -> tuple[BertModel, dict[str, torch.Tensor]]:
    """The library's BertModel with the folder's weights as float32, and the heads."""
    tensors = {k: v.float() for k, v in load_file(str(folder / "model.safetensors")).items()}
    heads = {k: tensors.pop(k) for k in list(tensors) if k.startswith("heads.")}
    model = BertModel(BertConfig.from_pretrained(folder))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [k for k in missing if not k.endswith(("position_ids", "token_type_ids"))]
    if missing or unexpected:
        raise ValueError(f"tensors do not match BertModel: missing {missing}, unexpected {unexpected}")
    return model.eval(), heads


def outputs(folder: Path, texts: list[str], int8: bool = False, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Raw emotion logits and raw PAD values for texts, float32."""
    spec = json.loads((folder / "onepass.json").read_text(encoding="utf-8"))
    model, heads = load_model(folder)
    if int8:
        simulate_int8(model)
    encoded = C.encode(C.load_tokenizer(folder / "tokenizer.json"), texts, int(spec["max_tokens"]))
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    emotion, pad = np.zeros((len(texts), 28), np.float32), np.zeros((len(texts), 3), np.float32)
    with torch.no_grad():
        for start in range(0, len(order), batch):
            pick = order[start : start + batch]
            width = max(len(encoded[i]) for i in pick)
            ids = torch.zeros(len(pick), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(pick):
                ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
                mask[row, : len(encoded[i])] = 1
            result = model(input_ids=ids, attention_mask=mask)
            if spec["pooling"] == "first_token":
                pooled = result.pooler_output
            else:
                m = mask[:, :, None].float()
                mean = (result.last_hidden_state * m).sum(1) / m.sum(1)
                pooled = torch.tanh(model.pooler.dense(mean))
            emotion[pick] = (pooled @ heads["heads.emotion.weight"].T + heads["heads.emotion.bias"]).numpy()
            pad[pick] = (pooled @ heads["heads.pad.weight"].T + heads["heads.pad.bias"]).numpy()
    return emotion, pad


def emotion_report(spec: dict, logits: np.ndarray, gold: np.ndarray, per_label: bool = False) -> dict:
    """Metrics of the emotion head with the file's thresholds and temperature."""
    head = next(h for h in spec["heads"] if h["name"] == "emotion")
    prob = C.sigmoid(logits / head["temperature"])
    pred = prob >= np.asarray(head["thresholds"])
    f1 = C.label_f1(pred, gold)
    out: dict = {
        "n": len(gold),
        "head": "emotion",
        "macro_f1": float(f1.mean()),
        "micro_f1": C.micro_f1(pred, gold),
        "macro_ap": C.macro_ap(prob, gold),
        "ece": C.ece(prob, gold),
    }
    if per_label:
        out["per_label"] = {
            name: {
                "f1": float(f1[k]),
                "ap": C.average_precision(prob[:, k], gold[:, k]),
                "gold": int(gold[:, k].sum()),
                "predicted": int(pred[:, k].sum()),
            }
            for k, name in enumerate(head["labels"])
        }
    return out


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="model folder")
    p.add_argument("--goemotions", required=True, help="folder with {dev,test}.tsv")
    p.add_argument("--emobank", required=True, help="emobank.csv")
    p.add_argument("--split", default="dev", choices=["train", "dev", "test"])
    p.add_argument("--int8", action="store_true", help="simulate int8 linear layers and embeddings")
    p.add_argument("--per-label", action="store_true")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    folder = Path(args.model)
    spec = json.loads((folder / "onepass.json").read_text(encoding="utf-8"))
    go = C.read_goemotions(args.goemotions, args.split)
    logits, _ = outputs(folder, go.texts, args.int8)
    print(json.dumps(emotion_report(spec, logits, go.emotion, args.per_label)))
    eb = C.read_emobank(args.emobank, args.split)
    _, pad = outputs(folder, eb.texts, args.int8)
    print(json.dumps({"n": len(eb), "head": "pad", **C.pad_metrics(np.clip(pad, -1, 1), eb.pad)}))


if __name__ == "__main__":
    main()

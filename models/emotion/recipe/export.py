"""Write a trained weights.pt as a model folder: f16 tensors, thresholds, temperature, files.

The PAD head is trained on standardised targets; the standardisation is folded into the
head here. The temperature is fitted on dev with the f16-rounded weights in float32; thresholds on dev outputs in float32 and
simulated int8 together, so that they do not sit on the accidents of either.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import common as C
import evaluate as E

LICENCE = (
    "Apache-2.0; weights derived from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). "
    "Training data: GoEmotions (Demszky et al., 2020), CC BY 4.0; EmoBank (Buechel and Hahn, 2017), CC BY-SA 4.0."
)


def arguments() -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--weights", required=True, nargs="+", help="weights.pt; several are averaged")
    p.add_argument("--base", required=True, help="folder of the base model (configuration and tokenizer)")
    p.add_argument("--goemotions", required=True)
    p.add_argument("--emobank", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--pooling", default="first_token", choices=["first_token", "mean"])
    p.add_argument("--pos-alpha", type=float, default=0.0, help="as in training; its shift is taken out of the bias")
    p.add_argument("--mix", type=float, default=0.5, help="threshold regularisation, see fit_thresholds")
    p.add_argument("--version", default="1.0.0")
    return p.parse_args()


def write_config(base: Path, out: Path, pooling: str) -> None:
    """Configuration and tokenizer files from the base."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    keep = (
        "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
        "intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads",
        "num_hidden_layers", "pad_token_id", "type_vocab_size", "vocab_size",
    )
    C.write_json(out / "config.json", {
        "architectures": ["BertModel"], "model_type": "bert", **{k: config[k] for k in keep},
        "position_embedding_type": "absolute", "torch_dtype": "float16",
    })
    tok = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    tok["truncation"] = tok["padding"] = None
    (out / "tokenizer.json").write_text(json.dumps(tok, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    C.write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "BertTokenizer", "do_lower_case": True, "unk_token": "[UNK]", "sep_token": "[SEP]",
        "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]", "tokenize_chinese_chars": True,
        "strip_accents": None, "model_max_length": 512,
    })
    shutil.copyfile(base / "vocab.txt", out / "vocab.txt")


def main() -> None:
    """Write the folder, fit on dev, print dev metrics."""
    args = arguments()
    torch.set_num_threads(1)
    out = Path(args.out)
    temp = out.with_name(out.name + ".partial")
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    states = [torch.load(f) for f in args.weights]
    tensors = {k: sum(s[k] for s in states) / len(states) for k in states[0]}

    gold = C.read_emobank(args.emobank, "train").pad
    mean, std = torch.from_numpy(gold.mean(0)), torch.from_numpy(gold.std(0))
    tensors["heads.pad.weight"] = tensors["heads.pad.weight"] * std[:, None]
    tensors["heads.pad.bias"] = tensors["heads.pad.bias"] * std + mean
    if args.pos_alpha:  # a positive weight w shifts logits by log w: undo it, so probabilities are calibrated
        positives = C.read_goemotions(args.goemotions, "train").emotion
        rate = torch.from_numpy(positives.mean(0))
        tensors["heads.emotion.bias"] = tensors["heads.emotion.bias"] - args.pos_alpha * torch.log((1 - rate) / rate)
    half = {k: v.half().contiguous() for k, v in sorted(tensors.items())}
    if not all(torch.isfinite(v).all() for v in half.values()):
        raise ValueError("a weight does not fit in float16")
    save_file(half, str(temp / "model.safetensors"), metadata={"format": "pt"})
    write_config(Path(args.base), temp, args.pooling)

    labels = C.read_labels(args.goemotions)
    spec = {
        "format_version": 1, "model_id": "onepass-emotion-minilm-l6", "model_version": args.version,
        "licence": LICENCE, "pooling": args.pooling, "pooler": {"activation": "tanh"}, "max_tokens": 512,
        "heads": [
            {"name": "emotion", "kind": "multi_label", "labels": labels, "thresholds": [0.5] * 28, "temperature": 1.0},
            {"name": "pad", "kind": "regression", "labels": list(C.PAD_NAMES), "range": [-1, 1], "temperature": 1},
        ],
    }
    C.write_json(temp / "onepass.json", spec)
    dev = C.read_goemotions(args.goemotions, "dev")
    logits, _ = E.outputs(temp, dev.texts)
    temperature = round(C.fit_temperature(logits, dev.emotion), 4)
    rounded, _ = E.outputs(temp, dev.texts, int8=True)  # thresholds that serve both precisions
    both, both_gold = np.concatenate([logits, rounded]), np.concatenate([dev.emotion, dev.emotion])
    thresholds = C.fit_thresholds(both, both_gold, temperature, args.mix)
    spec["heads"][0]["temperature"] = temperature
    spec["heads"][0]["thresholds"] = [round(float(t), 4) for t in thresholds]
    C.write_json(temp / "onepass.json", spec)
    print(json.dumps(E.emotion_report(spec, logits, dev.emotion)))
    print(json.dumps({"int8": E.emotion_report(spec, rounded, dev.emotion)}))
    print(json.dumps({"cross_fitted_macro_f1": C.cross_fitted_f1(logits, dev.emotion, args.mix)}))
    eb = C.read_emobank(args.emobank, "dev")
    _, pad = E.outputs(temp, eb.texts)
    print(json.dumps({"n": len(eb), "head": "pad", **C.pad_metrics(np.clip(pad, -1, 1), eb.pad)}))
    _, pad = E.outputs(temp, eb.texts, int8=True)
    print(json.dumps({"int8": {"n": len(eb), "head": "pad", **C.pad_metrics(np.clip(pad, -1, 1), eb.pad)}}))
    out.mkdir(parents=True, exist_ok=True)
    for f in temp.iterdir():  # same file system: each file is replaced atomically
        os.replace(f, out / f.name)
    temp.rmdir()


if __name__ == "__main__":
    main()

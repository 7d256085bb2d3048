#!/usr/bin/env python3
"""Tiny random BERT checkpoints with the reference implementation's answers, for tests/models.

    python tools/dev/bert_fixtures.py tests/fixtures/bert

Every folder is a checkpoint as transformers saves it (or as older releases did), with expected.safetensors beside it:
texts (bytes and offsets), ids and offsets, logits [texts, classes], and hidden.0 ... hidden.L [tokens, width] of the
texts, packed. Seeds are fixed; the same versions give the same bytes.
"""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from fixture_parts import TEXTS, VOCAB, randomize, save_config, save_expected, save_weights
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

@dataclass
class Case:
    """One checkpoint. `heads` are our own heads beside a BertModel: name -> (kind, classes)."""

    name: str
    layers: int
    width: int
    heads: int
    ffn: int
    classes: int = 2
    act: str = "gelu"
    problem: str = "single_label_classification"
    types: int = 2
    positions: int = 64
    own_heads: dict = field(default_factory=dict)
    pooling: str = "first_token"
    pooler: bool = True
    half: bool = False
    shards: bool = False
    old_names: bool = False
    vocab_txt: bool = False


CASES = [
    Case("one_class_regression", 1, 16, 1, 20, classes=1, problem="regression"),
    Case("two_classes", 2, 24, 3, 40),
    Case("gelu_new", 3, 20, 5, 33, classes=3, act="gelu_new"),
    Case("multi_label", 2, 36, 2, 50, classes=5, problem="multi_label_classification"),
    Case("forty_labels", 1, 64, 4, 96, classes=40, problem="multi_label_classification", positions=130),
    Case("heads_of_one", 4, 12, 12, 31, classes=7),
    Case("odd_width_relu", 2, 33, 1, 17, classes=4, act="relu", vocab_txt=True),
    Case("tanh_gelu_one_type", 2, 48, 3, 64, classes=11, act="gelu_pytorch_tanh", types=1),
    Case("wide_heads", 1, 70, 1, 38, classes=3),
    Case("old_names", 2, 28, 7, 45, classes=6, old_names=True, problem="multi_label_classification"),
    Case("shards_f16", 3, 40, 5, 44, classes=2, half=True, shards=True),
    Case("own_heads", 2, 32, 4, 60, own_heads={"mood": ("multi_label", 9), "pad": ("regression", 3)}),
    Case("own_heads_mean", 2, 44, 11, 30, own_heads={"b": ("single_label", 3), "a": ("regression", 1)}, pooling="mean",
         pooler=False),
]


def old_name(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def make(case: Case, root: Path, seed: int) -> None:
    folder = root / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = BertConfig(vocab_size=len(VOCAB), hidden_size=case.width, num_hidden_layers=case.layers,
                        num_attention_heads=case.heads, intermediate_size=case.ffn, hidden_act=case.act,
                        max_position_embeddings=case.positions, type_vocab_size=case.types, num_labels=case.classes,
                        problem_type=case.problem)
    if case.own_heads:
        model = BertModel(config, add_pooling_layer=case.pooler)
        config.architectures = ["BertModel"]
    else:
        model = BertForSequenceClassification(config)
        config.architectures = ["BertForSequenceClassification"]
    randomize(model, seed)
    tensors = {n: p.detach().numpy() for n, p in model.state_dict().items() if "position_ids" not in n}
    rng = np.random.default_rng(seed)
    for name, (_, classes) in case.own_heads.items():
        tensors[f"heads.{name}.weight"] = rng.normal(0, 0.3, (classes, case.width)).astype(np.float32)
        tensors[f"heads.{name}.bias"] = rng.normal(0, 0.3, classes).astype(np.float32)
    if case.half:
        tensors = {n: t.astype(np.float16) for n, t in tensors.items()}
    model.load_state_dict({n: torch.from_numpy(t.astype(np.float32)) for n, t in tensors.items() if not n.startswith("heads.")},
                          strict=False)
    model.eval()

    save_config(config, case.classes, folder)
    if case.own_heads:
        heads = []
        for name, (kind, classes) in case.own_heads.items():
            head = {"name": name, "kind": kind, "labels": [f"{name} {i}" for i in range(classes)]}
            if kind == "multi_label":
                head |= {"thresholds": [round(0.05 + 0.1 * i, 2) for i in range(classes)], "temperature": 1.25}
            if kind == "regression":
                head["range"] = [-1, 1]
            heads.append(head)
        (folder / "onepass.json").write_text(json.dumps({
            "format_version": 1, "model_id": case.name, "model_version": "7", "licence": "none", "pooling": case.pooling,
            "pooler": {"activation": "tanh"} if case.pooler else None, "max_tokens": 48, "heads": heads}, indent=1))
    save_weights({old_name(n) if case.old_names else n: t for n, t in tensors.items()}, folder, case.shards)

    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    if not case.vocab_txt:
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "vocab.txt").unlink()

    limit = 48 if case.own_heads else case.positions
    ids, starts, logits = [], [0], []
    hidden = [[] for _ in range(case.layers + 1)]
    for text in TEXTS:
        encoded = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            out = model(**encoded, output_hidden_states=True)
        ids += encoded["input_ids"][0].tolist()
        starts.append(len(ids))
        for layer, rows in enumerate(out.hidden_states):
            hidden[layer].append(rows[0].numpy())
        if case.own_heads:
            last = out.last_hidden_state[0]
            pooled = last.mean(0) if case.pooling == "mean" else last[0]
            if case.pooler:
                pooled = out.pooler_output[0]
            logits.append(np.concatenate([
                tensors[f"heads.{n}.weight"] @ pooled.numpy() + tensors[f"heads.{n}.bias"] for n in case.own_heads]))
        else:
            logits.append(out.logits[0].numpy())
    save_expected(folder, TEXTS, ids, starts, logits, hidden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("transformers", transformers.__version__)
    for seed, case in enumerate(CASES):
        make(case, arguments.output, seed)
        size = sum(f.stat().st_size for f in (arguments.output / case.name).iterdir())
        print(f"{case.name}: {size} bytes")


if __name__ == "__main__":
    main()

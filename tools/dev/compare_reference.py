#!/usr/bin/env python3
"""A converted model against transformers on real lines: token ids, logits, labels.

    python tools/dev/compare_reference.py --onepass build/release/tools/onepass --folder models/emotion \
        --f32 emotion-f32.onepass --int8 emotion-int8.onepass LINES...

--folder is what was converted: a BertModel with onepass.json, or a ...ForSequenceClassification of any family, loaded by
transformers; its tokenizer.json is run by the tokenizers library. LINES are files of one text a line (of a TSV the first
column, of a CSV with a header the column `text`). Exit status 1 where an id differs or an f32 logit is off by more than 1e-3.

Random weights make labels that are nearly ties. So beside the share of equal labels stand the correlation of the logits over
the texts, the mean over the classes, and the share of equal labels among clear texts, whose two greatest logits of the
reference are half of the logits' standard deviation apart.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel


def read_lines(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [row["text"] for row in csv.DictReader(file)]
    return [line.rstrip("\n").split("\t")[0] for line in path.open(encoding="utf-8")]


def ask(arguments: list[str], texts: list[str], suffix: str) -> list:
    """One JSON object a text from the onepass command."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        out = subprocess.run([*arguments, "-i", file.name, suffix], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.split("\n") if line]


def logits_of(results: list) -> np.ndarray:
    return np.array([[v for head in r["heads"].values() for v in head["logits"]] for r in results], dtype=np.float64)


class Reference:
    """BertModel with the heads of onepass.json."""

    def __init__(self, folder: Path):
        self.spec = json.loads((folder / "onepass.json").read_text())
        tensors = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
        config = BertConfig.from_json_file(folder / "config.json")
        self.model = BertModel(config, add_pooling_layer=self.spec["pooler"] is not None).eval()
        self.model.load_state_dict({n: t for n, t in tensors.items() if not n.startswith("heads.")}, strict=False)
        self.heads = [(tensors[f"heads.{h['name']}.weight"], tensors[f"heads.{h['name']}.bias"]) for h in self.spec["heads"]]
        self.dense = (tensors.get("pooler.dense.weight"), tensors.get("pooler.dense.bias"))
        self.limit = min(self.spec["max_tokens"], config.max_position_embeddings)

    @torch.no_grad()
    def logits(self, ids: list[int]) -> np.ndarray:
        out = self.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        pooled = out.mean(0) if self.spec["pooling"] == "mean" else out[0]
        if self.spec["pooler"] is not None:
            pooled = torch.tanh(self.dense[0] @ pooled + self.dense[1])
        return torch.cat([w @ pooled + b for w, b in self.heads]).double().numpy()


class Classifier:
    """A ...ForSequenceClassification as transformers loads it."""

    def __init__(self, folder: Path):
        name = json.loads((folder / "config.json").read_text())["architectures"][0]
        self.model = getattr(transformers, name).from_pretrained(folder, attn_implementation="eager").float().eval()
        config = self.model.config
        labels = [config.id2label[i] for i in range(config.num_labels)]
        self.spec = {"heads": [{"name": "classifier", "kind": config.problem_type.removesuffix("_classification"),
                                "labels": labels}]}
        after_pad = name.startswith(("Roberta", "XLMRoberta", "Camembert", "MPNet"))
        self.limit = config.max_position_embeddings - (config.pad_token_id + 1 if after_pad else 0)

    @torch.no_grad()
    def logits(self, ids: list[int]) -> np.ndarray:
        ids = torch.tensor([ids])
        return self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double().numpy()


def closeness(weights: str, expected: np.ndarray, other: np.ndarray) -> dict:
    """What says more than the share of equal labels where logits are nearly ties, as those of random weights are."""
    correlations = [np.corrcoef(expected[:, c], other[:, c])[0, 1] for c in range(expected.shape[1])]
    report = {f"{weights}_logit_correlation": float(np.mean(correlations))}
    if expected.shape[1] > 1:
        top = np.sort(expected, axis=1)
        clear = top[:, -1] - top[:, -2] > expected.std(0).mean() / 2
        same = expected.argmax(1) == other.argmax(1)
        report |= {"clear_texts": float(clear.mean()), f"{weights}_same_label_of_clear_texts": float(same[clear].mean())}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onepass", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--f32", required=True)
    parser.add_argument("--int8")
    parser.add_argument("--int4")
    parser.add_argument("--limit", type=int, default=0, help="lines of each file at most")
    parser.add_argument("lines", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    texts = [t for path in arguments.lines for t in (read_lines(path)[: arguments.limit or None])]
    own = (arguments.folder / "onepass.json").exists()
    reference = Reference(arguments.folder) if own else Classifier(arguments.folder)
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    tokenizer.enable_truncation(reference.limit)

    tokens = ask([arguments.onepass, "tokenize", "-m", arguments.f32], texts, "--json")
    expected_ids = [tokenizer.encode(t).ids for t in texts]
    wrong_ids = [i for i, t in enumerate(tokens) if t["ids"] != expected_ids[i]]
    f32 = ask([arguments.onepass, "classify", "-m", arguments.f32, "--logits"], texts, "--json")
    expected = np.stack([reference.logits(ids) for ids in expected_ids])
    difference = np.abs(logits_of(f32) - expected)
    report = {
        "transformers": transformers.__version__, "texts": len(texts), "texts_with_wrong_ids": len(wrong_ids),
        "logit_spread": float(expected.std(0).mean()),
        "f32_max_logit_difference": float(difference.max()), "f32_mean_logit_difference": float(difference.mean()),
    }
    for weights in ("int8", "int4"):
        file = getattr(arguments, weights)
        if not file:
            continue
        other = ask([arguments.onepass, "classify", "-m", file, "--logits"], texts, "--json")
        gap = np.abs(logits_of(other) - expected)
        report |= {f"{weights}_max_logit_difference": float(gap.max()), f"{weights}_mean_logit_difference": float(gap.mean())}
        report |= closeness(weights, expected, logits_of(other))
        for head in reference.spec["heads"]:
            a, b = [r["heads"][head["name"]] for r in f32], [r["heads"][head["name"]] for r in other]
            if head["kind"] == "regression":
                gaps = [abs(x["values"][k] - y["values"][k]) for x, y in zip(a, b) for k in x["values"]]
                report[f"{weights}_{head['name']}_max_value_difference"] = max(gaps)
            elif head["kind"] == "multi_label":
                pairs = [(set(x["labels"]), set(y["labels"])) for x, y in zip(a, b)]
                report[f"{weights}_{head['name']}_same_label_sets"] = float(np.mean([x == y for x, y in pairs]))
                decisions = len(head["labels"]) * len(pairs)
                report[f"{weights}_{head['name']}_same_decisions"] = 1 - sum(len(x ^ y) for x, y in pairs) / decisions
                tops = [(max(x["scores"], key=x["scores"].get), max(y["scores"], key=y["scores"].get)) for x, y in zip(a, b)]
                report[f"{weights}_{head['name']}_same_top_label"] = float(np.mean([x == y for x, y in tops]))
            else:
                report[f"{weights}_{head['name']}_same_label"] = float(np.mean([x["label"] == y["label"] for x, y in zip(a, b)]))
    print(json.dumps(report, indent=1))
    sys.exit(1 if wrong_ids or not difference.max() <= 1e-3 else 0)


if __name__ == "__main__":
    main()

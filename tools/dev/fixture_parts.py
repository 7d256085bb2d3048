"""What the scripts that write fixture checkpoints share: a vocabulary, texts, weights and files."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

WORDS = "the a cat dog is was not good bad very happy sad what thank you love hate 1 2 . , ! ? ' - caf na ive".split()
PIECES = [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"] + ["##ing", "##ed", "##ly"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz0369") + ["é", "中", "я"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + sorted(set(WORDS + LETTERS)) + PIECES

TEXTS = [
    "The cat is happy.",
    "",
    "What?!  Thank-you, you're VERY good",
    "Café naïve 中文 and я",
    "hating loved sadly " * 3,
    "x" * 120 + " unknown \u200d \U0001f600 tail",
    "[MASK] is not [SEP] good",
    "a",
]


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Weights of a size that makes every part matter: attention far from uniform, norms far from 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if re.search(r"norm\.weight$", name.lower()):
                parameter.copy_(1 + 0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            elif "embeddings." in name:
                parameter.copy_(0.6 * noise)
            else:
                parameter.copy_(1.2 * noise / parameter.shape[1] ** 0.5)


def save_weights(tensors: dict, folder: Path, shards: bool = False) -> None:
    metadata = {"format": "pt"}
    if not shards:
        save_file(tensors, folder / "model.safetensors", metadata=metadata)
        return
    names = sorted(tensors)
    parts = [names[0::2], names[1::2]]
    weight_map = {}
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors"
        save_file({n: tensors[n] for n in part}, folder / file, metadata=metadata)
        weight_map.update({n: file for n in part})
    total = sum(t.nbytes for t in tensors.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1, sort_keys=True))


def save_config(config, classes: int, folder: Path, labels: list | None = None) -> None:
    """Labels in an order that sorting by string would break: id2label has keys "0", "1", "10", "11", "2", ..."""
    written = config.to_dict()
    written["id2label"] = {str(i): labels[i] if labels else f"label {i}" for i in sorted(range(classes), key=str)}
    written["label2id"] = {v: int(k) for k, v in written["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(written, indent=1))


def save_expected(folder: Path, texts: list, ids: list, starts: list, logits: list, hidden: list,
                  pooled: list | None = None) -> None:
    """hidden[stage][text] is [tokens, width]; pooled: rows, where they are not the first of each text."""
    raw = [t.encode() for t in texts]
    expected = {
        "texts": np.frombuffer(b"".join(raw), dtype=np.uint8),
        "text_starts": np.cumsum([0] + [len(t) for t in raw]).astype(np.int32),
        "ids": np.array(ids, dtype=np.int32),
        "starts": np.array(starts, dtype=np.int32),
        "logits": np.concatenate([row.reshape(-1, row.shape[-1]) for row in logits]).astype(np.float32),
    } | {f"hidden.{i}": np.concatenate(rows).astype(np.float32) for i, rows in enumerate(hidden)}
    if pooled is not None:
        expected["pooled"] = np.array(pooled, dtype=np.int32)
    save_file(expected, folder / "expected.safetensors")

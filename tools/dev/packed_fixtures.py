#!/usr/bin/env python3
"""Tiny decoders as GPTQ and AWQ leave them on the hub, with the reference's answers.

    python tools/dev/packed_fixtures.py tests/fixtures

Each folder below packed/ has config.json with a quantization_config, model.safetensors with qweight, qzeros, scales and
g_idx, expected.safetensors (transformers with the weights that the codes stand for), and weights.json: the SHA-256 of every
such weight as f32. Codes are rounded here; that packing and unpacking belong together is checked by unpacking with the
expressions of AutoGPTQ's QuantLinear and AutoAWQ's unpack_awq + reverse_awq_order, written out in NumPy. Seeds are fixed.
"""

import argparse
import hashlib
import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from decoder_fixtures import pooled_token, randomize, sizes
from decoder_tokenizers import TOKENIZERS
from fixture_parts import save_config, save_expected
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerFast

TEXTS = ["The cat is happy.", "What?!  Thank-you, you're VERY good 1234", "a"]
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


@dataclass
class Case:
    name: str
    model: str
    quantisation: dict
    ffn: int = 96
    zero_biases: bool = False  # of every product, as AutoGPTQ has written them
    more: dict = field(default_factory=dict)

    @property
    def awq(self) -> bool:
        return self.quantisation["quant_method"] == "awq"

    @property
    def bits(self) -> int:
        return self.quantisation["bits"]


def gptq(bits: int, group: int, sym: bool, desc_act: bool = False, **more) -> dict:
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": sym, "desc_act": desc_act,
            "true_sequential": True, "damp_percent": 0.01} | more


def awq(group: int, **more) -> dict:
    return {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm",
            "modules_to_not_convert": None} | more


CASES = [
    Case("gptq_sym_32", "Llama", gptq(4, 32, True), zero_biases=True),
    Case("gptq_64", "Qwen2", gptq(4, 64, False, checkpoint_format="gptq")),
    Case("gptq_act_order_32", "Llama", gptq(4, 32, False, desc_act=True)),
    Case("gptq_v2_128", "Llama", gptq(4, 128, False, checkpoint_format="gptq_v2")),
    Case("gptq_8_bits", "Qwen2", gptq(8, -1, True)),
    Case("awq_32", "Llama", awq(32)),
    Case("awq_64", "Qwen2", awq(64, version="GEMM"), ffn=128),
]


def pack(codes: np.ndarray, bits: int, axis: int, order: list | None = None) -> np.ndarray:
    """Codes along `axis`, several an int32."""
    count = 32 // bits
    codes = np.moveaxis(codes, axis, -1).astype(np.uint32)
    codes = codes.reshape(*codes.shape[:-1], -1, count)
    words = np.zeros(codes.shape[:-1], np.uint32)
    for place in range(count):
        words |= codes[..., order[place] if order else place] << np.uint32(place * bits)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis)).view(np.int32)


def quantise(case: Case, weight: np.ndarray, generator: np.random.Generator) -> tuple[dict, np.ndarray]:
    """The tensors of one product, and what they stand for."""
    n, k = weight.shape
    size, top = case.quantisation["group_size"], 2**case.bits - 1
    size = k if size == -1 else size
    groups = np.arange(k) // size
    if case.quantisation.get("desc_act"):
        groups = groups[generator.permutation(k)]
    symmetric = case.quantisation.get("sym", False)
    lowest_zero = 0 if case.awq or case.quantisation.get("checkpoint_format") == "gptq_v2" else 1
    count = int(groups.max()) + 1
    scales, zeros = np.zeros((count, n), np.float16), np.zeros((count, n), np.int64)
    for g in range(count):
        part = weight[:, groups == g]
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        if symmetric:
            high = np.maximum(high, -low)
            low = -high
        scales[g] = (high - low) / top
        zeros[g] = 2 ** (case.bits - 1) if symmetric else np.clip(np.round(-low / scales[g]), lowest_zero, top)
    scale, zero = scales[groups].astype(np.float32), zeros[groups]  # [K,N]
    codes = np.clip(np.round(weight.T / scale) + zero, 0, top).astype(np.int64)
    meant = ((codes - zero).astype(np.float32) * scale).T
    if case.awq:
        tensors = {"qweight": pack(codes, 4, 1, AWQ_ORDER), "qzeros": pack(zeros, 4, 1, AWQ_ORDER), "scales": scales}
    else:
        tensors = {"qweight": pack(codes, case.bits, 0), "qzeros": pack(zeros - lowest_zero, case.bits, 1),
                   "scales": scales, "g_idx": groups.astype(np.int32)}
    return tensors, np.ascontiguousarray(meant)


def gptq_as_read(t: dict, bits: int, v2: bool) -> np.ndarray:
    shifts, mask = np.arange(0, 32, bits, dtype=np.int32), 2**bits - 1
    zeros = np.right_shift(t["qzeros"][:, :, None], shifts[None, None, :]) & mask
    zeros = zeros.reshape(zeros.shape[0], -1) + (0 if v2 else 1)
    codes = np.right_shift(t["qweight"][:, None, :], shifts[None, :, None]) & mask
    codes = codes.reshape(-1, codes.shape[-1])
    return (t["scales"].astype(np.float32)[t["g_idx"]] * (codes - zeros[t["g_idx"]])).T


def awq_as_read(t: dict, group: int) -> np.ndarray:
    def unpack(words: np.ndarray) -> np.ndarray:
        values = np.right_shift(words[:, :, None], np.arange(0, 32, 4, dtype=np.int32)[None, None, :])
        values = values.reshape(values.shape[0], -1)
        reverse = np.arange(values.shape[1]).reshape(-1, 8)[:, [0, 4, 1, 5, 2, 6, 3, 7]].reshape(-1)
        return values[:, reverse] & 15

    codes, zeros, scales = unpack(t["qweight"]), unpack(t["qzeros"]), t["scales"].astype(np.float32)
    rows = np.arange(codes.shape[0]) // group
    return ((codes - zeros[rows]) * scales[rows]).T


def make(case: Case, root: Path, tokenizer_file: Path, vocabulary: int) -> None:
    folder = root / case.name
    folder.mkdir()
    config = getattr(transformers, case.model + "Config")(
        vocab_size=vocabulary, num_labels=3, problem_type="single_label_classification", bos_token_id=None,
        eos_token_id=None, pad_token_id=None, **sizes(1, 64, 4, 2, case.ffn), **case.more)
    name = case.model + "ForSequenceClassification"
    config.architectures = [name]
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config)
    seed = zlib.crc32(f"packed/{case.name}".encode())
    randomize(model, seed, 1.0)
    generator = np.random.default_rng(seed)
    tensors, hashes, meant = {}, {}, {}
    for key, value in model.state_dict().items():
        module = key.removesuffix(".weight")
        if not key.endswith("_proj.weight"):
            tensors[key] = value.numpy().astype(np.float16)
            meant[key] = torch.from_numpy(tensors[key].astype(np.float32))
            continue
        parts, stands_for = quantise(case, value.numpy(), generator)
        v2 = case.quantisation.get("checkpoint_format") == "gptq_v2"
        read = awq_as_read(parts, case.quantisation["group_size"]) if case.awq else gptq_as_read(parts, case.bits, v2)
        assert np.array_equal(read.astype(np.float32), stands_for), key
        tensors |= {f"{module}.{part}": array for part, array in parts.items()}
        if case.zero_biases:
            tensors[f"{module}.bias"] = np.zeros(len(stands_for), np.float16)
        meant[key] = torch.from_numpy(stands_for)
        hashes[key] = hashlib.sha256(stands_for.astype("<f4").tobytes()).hexdigest()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "weights.json").write_text(json.dumps(hashes, indent=1))
    save_config(config, 3, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": case.quantisation}, indent=1))

    model.load_state_dict(meant)
    model.eval()
    encode = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
    ids, starts, pooled, logits = [], [0], [], []
    for text in TEXTS:
        encoded = encode(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model(input_ids=encoded, attention_mask=torch.ones_like(encoded))
        pooled.append(len(ids) + pooled_token(encoded[0].tolist(), None))
        ids += encoded[0].tolist()
        starts.append(len(ids))
        logits.append(out.logits[0].numpy())
    save_expected(folder, TEXTS, ids, starts, logits, [], pooled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = arguments.output / "packed"
    shutil.rmtree(root, ignore_errors=True)
    (root / "tokenizer").mkdir(parents=True)
    tokenizer = TOKENIZERS["qwen2"]()
    tokenizer_file = root / "tokenizer" / "tokenizer.json"
    tokenizer.save(str(tokenizer_file))
    for case in CASES:
        make(case, root, tokenizer_file, tokenizer.get_vocab_size())
        print(f"{case.name}: {sum(f.stat().st_size for f in (root / case.name).iterdir())} bytes")


if __name__ == "__main__":
    main()

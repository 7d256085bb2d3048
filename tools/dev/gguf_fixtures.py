"""GGUF files for the tests of the tensor types.

    python tools/dev/gguf_fixtures.py tests/fixtures/gguf --ggml libggml-base.so

Three files of the same kind: tensors w.TYPE, and v.TYPE with the same values in F32 as the gguf package dequantises
them. package.gguf is quantised by the gguf package (the types that it can make), ggml.gguf by llama.cpp's own quantiser
(libggml-base.so of llama-cpp-python 0.3.36), both from the same weights; random.gguf has random blocks with finite
scales, so that every bit of a block matters. The values are checked against ggml's own dequantisation as well.
"""

import argparse
import ctypes
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, quants

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL IQ4_XS Q2_K Q3_K Q4_K Q5_K Q6_K".split()
PACKAGE_TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0".split()
# Where a block has its scales, in f16.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "IQ4_XS": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
ROWS, COLUMNS = 3, 256


def weights() -> np.ndarray:
    """Rows of different sizes and shapes: normal, heavy-tailed, with a block of zeros."""
    rng = np.random.default_rng(20)
    w = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    w[0] *= 0.02
    w[1] **= 3
    w[2, 64:96] = 0
    return w


def by_ggml(ggml: ctypes.CDLL, values: np.ndarray, qtype: GGMLQuantizationType) -> np.ndarray:
    block, size = GGML_QUANT_SIZES[qtype]
    out = np.zeros((ROWS, COLUMNS // block * size), dtype=np.uint8)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    written = ggml.ggml_quantize_chunk(
        ctypes.c_int(qtype), values.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(ROWS), ctypes.c_int64(COLUMNS), None)
    assert written == out.nbytes
    return out


def random_blocks(name: str, qtype: GGMLQuantizationType, rng: np.random.Generator) -> np.ndarray:
    block, size = GGML_QUANT_SIZES[qtype]
    if name == "F32":
        bits = rng.integers(0, 1 << 32, (ROWS, COLUMNS), dtype=np.uint64).astype(np.uint32)
        bits[(bits >> 23) & 255 == 255] ^= 1 << 30
        return bits.view(np.uint8).reshape(ROWS, -1)
    if name in ("F16", "BF16"):
        mask = 0x7C00 if name == "F16" else 0x7F80
        bits = rng.integers(0, 1 << 16, (ROWS, COLUMNS), dtype=np.uint32).astype(np.uint16)
        bits[bits & mask == mask] ^= 1 << 14
        return bits.view(np.uint8).reshape(ROWS, -1)
    blocks = rng.integers(0, 256, (ROWS * COLUMNS // block, size), dtype=np.uint8)
    for at in SCALES[name]:
        scale = blocks[:, at + 1]
        blocks[:, at + 1] = np.where(scale & 0x7C == 0x7C, scale ^ 0x40, scale)
    return blocks.reshape(ROWS, -1)


def check_with_ggml(ggml: ctypes.CDLL, name: str, data: np.ndarray, values: np.ndarray) -> None:
    if name in ("F32", "F16", "BF16"):
        return
    out = np.zeros_like(values)
    getattr(ggml, "dequantize_row_" + name.lower().replace("_k", "_K"))(
        data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(values.size))
    assert np.array_equal(out.view(np.uint32), values.view(np.uint32)), f"{name}: ggml and its package differ"


def write(path: Path, tensors: dict, ggml: ctypes.CDLL) -> None:
    writer = GGUFWriter(path, "test")
    for name, data in tensors.items():
        qtype = GGMLQuantizationType[name]
        values = quants.dequantize(data, qtype).astype(np.float32).reshape(ROWS, COLUMNS)
        check_with_ggml(ggml, name, data, values)
        writer.add_tensor("w." + name, data, raw_dtype=qtype)
        writer.add_tensor("v." + name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path, path.stat().st_size, "bytes,", len(tensors), "types")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--ggml", required=True, help="libggml-base.so of llama-cpp-python")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    ggml = ctypes.CDLL(arguments.ggml)
    w = weights()
    rng = np.random.default_rng(21)
    qtypes = {name: GGMLQuantizationType[name] for name in TYPES}
    raw = {"F32": w, "F16": w.astype(np.float16)}
    package = {name: quants.quantize(w, qtypes[name]) for name in PACKAGE_TYPES}
    write(arguments.output / "package.gguf", package, ggml)
    ggml_made = {name: raw[name] if name in raw else package[name] if name == "BF16" else by_ggml(ggml, w, qtype)
                 for name, qtype in qtypes.items()}
    write(arguments.output / "ggml.gguf", ggml_made, ggml)
    write(arguments.output / "random.gguf", {name: random_blocks(name, qtype, rng) for name, qtype in qtypes.items()},
          ggml)


if __name__ == "__main__":
    main()

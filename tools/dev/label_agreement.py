#!/usr/bin/env python3
"""Quantisers on a decoder that was trained: how often its label words come out as they do in f32 (docs/quantisation.md).

    label_agreement.py FOLDER --calibration TEXTS --verify TEXTS [--program build/release/tools/onepass] [--json OUT]

FOLDER has config.json and model.safetensors of a llama, and tokenizer.json, or tok512.json of llama2.c's stories260K,
of which a tokenizer.json is made here. TEXTS have a text a line. Prints a table: percent of the texts of --verify with
the label of f32, and the divergence of the scores in nats, for each quantiser in int4 and int8.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

LABELS = ("happy", "sad", "angry", "scared", "surprised")
TEMPLATE = 'One day, Lily said, "{text}" She was very'
QUANTISERS = {
    "no texts": [],
    "rtn": ["--quantiser", "rtn"],
    "rtn --smooth": ["--quantiser", "rtn", "--smooth"],
    "awq": ["--quantiser", "awq"],
    "gptq": ["--quantiser", "gptq"],
    "gptq --smooth": ["--quantiser", "gptq", "--smooth"],
}


def tokenizer_of_llama2c(pieces):
    """tokenizer.json from llama2.c's list of pieces: SentencePiece's BPE with bytes, as transformers has it for Llama."""
    special = {"\n<s>\n": "<s>", "\n</s>\n": "</s>"}
    vocab, score = {}, {}
    for entry in pieces:
        piece, number = special.get(entry["piece"], entry["piece"]), entry["id"]
        if number >= 259:
            piece = piece.replace(" ", "\u2581")
        vocab[piece], score[piece] = number, entry["score"]
    merges = [(-score[piece], number, piece[:at], piece[at:])
              for piece, number in vocab.items() if number >= 259
              for at in range(1, len(piece)) if piece[:at] in vocab and piece[at:] in vocab]
    mark = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    first, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": c, **mark} for i, c in enumerate(("<unk>", "<s>", "</s>"))],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [first, text], "pair": [first, text],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": [f"{a} {b}" for *_, a, b in sorted(merges)]},
    }


def convert(program, folder, out, weights, texts, calibration, options):
    command = [program, "convert", folder, "-o", out, "--weights", weights, "--template", TEMPLATE, "--verify", texts]
    for label in LABELS:
        command += ["--label", f"{label}= {label}"]
    if options:
        command += ["--calibration", calibration, *options]
    report = subprocess.run(command, capture_output=True, text=True)
    if report.returncode != 0:
        sys.exit(report.stderr)
    found = re.search(r"the same labels on ([\d.]+) %.*?KL ([\d.]+) on average", report.stdout + report.stderr, re.S)
    if not found:
        sys.exit(f"no agreement in the report of {' '.join(map(str, command))}")
    return float(found[1]), float(found[2]), pathlib.Path(out).stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--verify", required=True)
    parser.add_argument("--program", default="build/release/tools/onepass")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as room:
        source = pathlib.Path(room, args.folder.name)
        source.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(args.folder / name, source)
        if (args.folder / "tokenizer.json").exists():
            shutil.copy(args.folder / "tokenizer.json", source)
        else:
            made = tokenizer_of_llama2c(json.loads((args.folder / "tok512.json").read_text()))
            (source / "tokenizer.json").write_text(json.dumps(made, ensure_ascii=False))
        print("| labels as in f32, % (KL, nats) | int4 | int8 |\n|---|---|---|")
        for name, options in QUANTISERS.items():
            cells = []
            for weights in ("int4", "int8"):
                agree, divergence, size = convert(args.program, str(source), str(pathlib.Path(room, "out.onepass")),
                                                  weights, args.verify, args.calibration, options)
                results.append({"quantiser": name, "weights": weights, "percent_as_f32": agree, "kl": divergence,
                                "bytes": size})
                cells.append(f"{agree:.1f} ({divergence:.4f})")
            print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

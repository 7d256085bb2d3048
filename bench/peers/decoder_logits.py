#!/usr/bin/env python3
"""Logits of the same GGUF file in llama.cpp and here, for every decoder architecture and some types: tiny models.

    /opt/peers-venv/bin/python bench/peers/decoder_logits.py --onepass build/release/tools/onepass WORK

Largest differences of a logit. llama.cpp gives those of the last token for the whole vocabulary; here the words are
tokens of it, and the weights are what the file's blocks mean in f32 (--weights f32) or as they are (--weights source).
transformers computes with the same values in f32. llama.cpp keeps keys and values in f32 for this; it rounds the
activations to 8 bits in blocks of 32 where weights are quantised, and to f16 where they are F16. Requires gguf, torch,
transformers, tokenizers and llama-cpp-python, whose versions are in bench/peers/requirements.txt.
"""

import argparse
import contextlib
import io
import json
import pathlib
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tools" / "dev")]

import gguf_models as make  # noqa: E402
import runtimes  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

ROPE = {"rope_type": "default", "rope_theta": 1e6}
CONFIGS = {
    "llama": ("Llama", make.grouped(3, 64, 4, 2, 96, rope_parameters=make.LLAMA3_ROPE), make.llama, "llama-bpe"),
    "qwen2": ("Qwen2", make.grouped(3, 64, 4, 2, 96, rope_parameters=ROPE, tie_word_embeddings=True), make.qwen, "qwen2"),
    "qwen2 yarn": ("Qwen2", make.grouped(3, 64, 4, 2, 96, rope_parameters={
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}), make.qwen, "qwen2"),
    "qwen3": ("Qwen3", make.grouped(3, 64, 2, 1, 96, head_dim=32, rope_parameters=ROPE), make.qwen, "qwen2"),
    "gemma2": ("Gemma2", make.grouped(3, 64, 4, 2, 96, head_dim=32, query_pre_attn_scalar=32, sliding_window=8,
                                      attn_logit_softcapping=5.0, final_logit_softcapping=4.0), make.gemma, "gemma"),
    "gemma3": ("Gemma3Text", make.grouped(7, 64, 4, 2, 96, head_dim=32, query_pre_attn_scalar=32, sliding_window=8,
                                          rope_parameters={"full_attention": ROPE,
                                                           "sliding_attention": {"rope_type": "default",
                                                                                 "rope_theta": 1e4}}), make.gemma, "gemma"),
    "phi3": ("Phi3", make.grouped(3, 64, 4, 4, 96, sliding_window=40), make.phi3, "llama"),
}
TYPES = ("F32", "F16", "Q8_0", "Q4_0")
LENGTHS = (1, 5, 17, 33)
WORDS = 24


def single_tokens(tokenizer, count):
    """Texts that are one token, in the middle of the vocabulary."""
    found = {}
    for i in range(tokenizer.get_vocab_size() - 1, 3, -1):
        # A tokenizer that puts a space before a text writes the piece of a word with it.
        token = tokenizer.id_to_token(i)
        for text in (tokenizer.decode([i], skip_special_tokens=False), token.removeprefix(make.META)):
            if text.isprintable() and text.strip() == text and text and text not in found.values():
                if tokenizer.encode(text, add_special_tokens=False).ids == [i]:
                    found[i] = text
                    break
        if len(found) == count:
            break
    return found


def ours(command, gguf, weights, words, texts, out):
    labels = [f"--label=w{i}={text}" for i, text in words.items()]
    subprocess.run([command, "convert", gguf, "-o", out, "--weights", weights, "--template", "{text}\n", *labels],
                   check=True, stdout=subprocess.DEVNULL)
    lines = "\n".join(" ".join(map(str, ids)) for ids in texts)
    done = subprocess.run([command, "classify", "-m", out, "--ids", "--logits", "--json", "-i", "-"], input=lines,
                          check=True, capture_output=True, text=True)
    return np.array([json.loads(line)["heads"]["label"]["logits"] for line in done.stdout.splitlines()])


def reference(folder, words, texts):
    """transformers in f32, with the values of the blocks."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        return np.array([model(input_ids=torch.tensor([ids])).logits[0, -1].numpy()[list(words)] for ids in texts])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--onepass", required=True)
    parser.add_argument("--only", nargs="+", help="architectures")
    arguments = parser.parse_args()
    runtimes.refuse_amx()  # llama.cpp ends in its AMX product on some machines
    transformers.logging.set_verbosity_error()
    rng = np.random.default_rng(7)
    print("| architecture | type | spread of a logit | ours, f32 | ours, as stored | ours, f32, to transformers "
          "| llama.cpp to transformers |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, (classes, config, export, pre) in CONFIGS.items():
        if arguments.only and name not in arguments.only:
            continue
        for dtype in TYPES:
            case = f"{name.replace(' ', '_')}_{dtype.lower()}"
            make.CASES[case] = (classes, config, name.split()[0], export, pre, 0, dtype)
            with contextlib.redirect_stdout(io.StringIO()):
                make.make(case, arguments.work / "models")
            folder = arguments.work / "words" / case
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            words = single_tokens(tokenizer, WORDS)
            texts = [rng.integers(4, tokenizer.get_vocab_size(), n).tolist() for n in LENGTHS]
            peer = runtimes.LlamaCppWords("gguf", cache="f32")
            peer.load({"gguf": str(folder / "model.gguf")}, 1)
            theirs = np.array([peer.run(peer.prepare([ids]))[0, list(words)] for ids in texts])
            exact = reference(folder, words, texts)
            gguf, out = folder / "model.gguf", folder / "model.onepass"
            f32, stored = (ours(arguments.onepass, gguf, weights, words, texts, out) for weights in ("f32", "source"))
            row = [np.abs(x - y).max() for x, y in ((f32, theirs), (stored, theirs), (f32, exact), (theirs, exact))]
            if not np.isfinite(row).all():
                raise SystemExit(f"{case}: logits that are not finite")
            cells = " | ".join(f"{x:.1e}" for x in row)
            print(f"| {name} | {dtype} | {theirs.std():.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

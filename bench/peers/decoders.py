#!/usr/bin/env python3
"""Decoders beside llama.cpp, in one run: random weights of published shapes, a prompt read in one pass, and the logits
of its last token. See docs/peers.md.

    /opt/peers-venv/bin/python bench/peers/decoders.py prepare --build build/release
    /opt/peers-venv/bin/python bench/peers/decoders.py run --build build/release --out decoders

Both read the same Q8_0 file: llama.cpp as it is, Onepass converted to int8 and to int4 (groups of 32). llama.cpp's Q4_0
file has weights of its own, since its blocks are drawn and not quantised. llama.cpp answers with the logits of the
last token for the whole vocabulary, which is all that it has for a classification by words; Onepass with those of three
words. Their difference from llama.cpp's Q8_0 is reported before anything is timed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import peers  # noqa: E402
import report  # noqa: E402

# name -> GGUF architecture, layers, width, heads, kv heads, head width, ffn width, vocabulary, rope theta, norm eps,
# pre-tokenizer. Embeddings are tied in both.
SHAPES = {
    "qwen2.5-0.5b": ("qwen2", 24, 896, 14, 2, 64, 4864, 151936, 1e6, 1e-6, "qwen2"),
    "llama-3.2-1b": ("llama", 16, 2048, 32, 8, 64, 8192, 128256, 500000.0, 1e-5, "llama-bpe"),
}
WORDS = ("a", "b", "c")
RUNTIMES = ("Onepass int8", "Onepass int4", "llama.cpp Q8_0, last token", "llama.cpp Q4_0, last token")


def blocks(rows, width, kind, rng):
    """Blocks of 32 codes with scales around 1 / sqrt(width), as such a file has them."""
    count = rows * width // 32
    scale = (rng.uniform(0.7, 1.3, count) * 3 ** 0.5 / width ** 0.5 / (127 if kind == "Q8_0" else 8)).astype(np.float16)
    size = 32 if kind == "Q8_0" else 16
    codes = rng.integers(-127, 128, (count, size), dtype=np.int8) if kind == "Q8_0" else rng.integers(
        0, 256, (count, size), dtype=np.uint8)
    data = np.concatenate([scale.reshape(-1, 1).view(np.uint8), codes.view(np.uint8)], axis=1)
    return data.reshape(rows, width // 32 * (2 + size))


def write_tokenizer(writer, vocab, pre):
    """The bytes, and pieces that no text has: passes are timed over ids."""
    import gguf

    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(
        b for b in range(256) if b not in visible)}
    tokens = [letters[b] for b in range(256)] + ["ab"] + [f"[PAD{i}]" for i in range(257, vocab)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.UNUSED] * (vocab - 257))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def write_gguf(path, shape, kind):
    import gguf

    arch, layers, width, heads, kv_heads, head, ffn, vocab, theta, eps, pre = SHAPES[shape]
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(str(path), arch, use_temp_file=True)
    writer.add_name(shape)
    writer.add_context_length(32768)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(eps)
    writer.add_rope_freq_base(theta)
    writer.add_rope_dimension_count(head)
    write_tokenizer(writer, vocab, pre)
    dtype = gguf.GGMLQuantizationType[kind]

    def matrix(name, rows, columns):
        writer.add_tensor(name, blocks(rows, columns, kind, rng), raw_dtype=dtype)

    def vector(name, size, middle):
        writer.add_tensor(name, (middle + 0.1 * rng.standard_normal(size)).astype(np.float32))

    matrix("token_embd.weight", vocab, width)
    for i in range(layers):
        b = f"blk.{i}."
        vector(b + "attn_norm.weight", width, 1)
        for name, rows in (("q", heads * head), ("k", kv_heads * head), ("v", kv_heads * head)):
            matrix(f"{b}attn_{name}.weight", rows, width)
            if arch == "qwen2":
                vector(f"{b}attn_{name}.bias", rows, 0)
        matrix(b + "attn_output.weight", width, heads * head)
        vector(b + "ffn_norm.weight", width, 1)
        matrix(b + "ffn_gate.weight", ffn, width)
        matrix(b + "ffn_up.weight", ffn, width)
        matrix(b + "ffn_down.weight", width, ffn)
    vector("output_norm.weight", width, 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def prepare(options):
    command = next((p for p in options.build.rglob("onepass") if p.is_file() and os.access(p, os.X_OK)), None)
    if command is None:
        raise SystemExit(f"decoders.py: {options.build}: no onepass command; build it first")
    for shape in options.models:
        out = options.work / shape
        out.mkdir(parents=True, exist_ok=True)
        made = {}
        for kind in ("Q8_0", "Q4_0"):
            path = out / f"{kind.lower()}.gguf"
            if not path.exists() or options.remake:
                peers.say(f"{shape}: writing {path.name}")
                write_gguf(path.with_suffix(".part"), shape, kind)
                path.with_suffix(".part").rename(path)
            made["gguf-" + path.stem] = str(path)
        for weights in ("int8", "int4"):
            path = out / f"{weights}.onepass"
            peers.say(f"{shape}: converting to {weights}")
            subprocess.run([command, "convert", made["gguf-q8_0"], "-o", path, "--weights", weights, "--template",
                            "{text}\n", *(f"--label={w}={w}" for w in WORDS)], check=True, stdout=subprocess.DEVNULL)
            made["onepass-" + weights] = str(path)
        (out / "decoders.json").write_text(json.dumps(made, indent=1))


def agreement(answers, reference, columns):
    """Of the words' logits, and of the best of them."""
    mine, theirs = np.array(answers)[:, 0, :], np.array(reference)[:, 0, :]
    mine, theirs = (x if x.shape[1] == len(WORDS) else x[:, columns] for x in (mine, theirs))
    if not np.isfinite(mine).all():
        return {"error": "logits that are not finite"}
    return {"max_difference": float(np.abs(mine - theirs).max()),
            "same_label": float((mine.argmax(1) == theirs.argmax(1)).mean()), "texts": len(mine)}


def run(options):
    out = {"cpu": report.cpu_name(), "machine": os.uname().machine, "amx": options.amx, "threads": options.threads,
           "versions": report.versions(), "models": {}}
    library = next(options.build.rglob("libonepass-peer.so"), None)
    if library is None:
        raise SystemExit(f"decoders.py: {options.build}: no libonepass-peer.so; build the target onepass-peer")
    os.environ["ONEPASS_PEER"] = str(library)
    log = open(options.work / "workers.log", "w", encoding="utf-8")  # noqa: SIM115
    rng = np.random.default_rng(7)
    for shape in options.models:
        record = options.work / shape / "decoders.json"
        if not record.exists():
            raise SystemExit(f"decoders.py: {shape} is not prepared: run `decoders.py prepare` first")
        files = json.loads(record.read_text())
        cases = {str(n): [rng.integers(0, 257, n).tolist()] for n in options.tokens}
        checks = [[rng.integers(0, 257, 24).tolist()] for _ in range(8)]
        entry = {"tokens": {case: int(case) for case in cases}, "runtimes": {}}
        out["models"][shape] = entry
        workers = [peers.Worker(name, options.amx, {}, log) for name in RUNTIMES
                   if not options.only or any(o.lower() in name.lower() for o in options.only)]
        reference = {}
        for threads in options.threads:
            for w in workers:
                peers.say(f"{shape}: {w.name}, {threads} thread(s), load and logits")
                loaded = w.ask(do="load", files=files, threads=threads, first=checks[0])
                about = entry["runtimes"].setdefault(w.name, {"times": {}})
                if loaded and threads == options.threads[0]:
                    # Once more: the first time also reads the disk, and starts what the library starts once.
                    about["first_load_ms"] = loaded["load_ms"]
                    about.update(w.ask(do="load", files=files, threads=threads, first=checks[0]) or loaded)
                    answer = w.ask(do="logits", batches=checks)
                    reference[w.name] = answer["logits"] if answer else None
                    about.update(w.ask(do="memory") or {})
                    kind = "onepass-" if w.name.startswith("Onepass") else "gguf-"
                    about["file_mb"] = peers.size_mb(files[kind + w.name.split()[1].rstrip(",").lower()])
                w.ask(do="prepare", cases=cases)
            if threads == options.threads[0]:
                theirs = reference.get(RUNTIMES[2])
                columns = [ord(word) for word in WORDS]  # the first tokens are the bytes
                for name in RUNTIMES[:2]:
                    if reference.get(name) and theirs:
                        entry["runtimes"][name]["agreement"] = agreement(reference[name], theirs, columns)
            peers.say(f"{shape}: timing {len(workers)} runtimes, {threads} thread(s)")
            results, started = {}, time.perf_counter()
            peers.measure(workers, list(cases), options.seconds, results)
            peers.say(f"{shape}: {threads} thread(s) took {time.perf_counter() - started:.0f} s")
            for name, timed in results.items():
                entry["runtimes"][name]["times"][str(threads)] = timed
        for w in workers:
            if w.error:
                entry["runtimes"].setdefault(w.name, {})["error"] = w.error
            w.close()
        peers.write(out, options.out)  # after each model: an interrupted run keeps what it has
    peers.say("")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("prepare", "write the files"), ("run", "check, then time")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
        command.add_argument("--work", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "onepass-peers")
        command.add_argument("--models", nargs="+", default=list(SHAPES), choices=list(SHAPES))
        if name == "prepare":
            command.add_argument("--remake", action="store_true", help="write the GGUF files again")
        else:
            command.add_argument("--out", type=pathlib.Path, default=pathlib.Path("decoders"), help="stem of the results")
            command.add_argument("--tokens", nargs="+", type=int, default=[16, 128])
            command.add_argument("--threads", nargs="+", type=int, default=[1, 2])
            command.add_argument("--seconds", type=float, default=3.0, help="measured time of a case of a runtime")
            command.add_argument("--only", nargs="+", help="runtimes whose names contain one of these")
            command.add_argument("--amx", action="store_true", help="let Onepass use AMX")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.command == "prepare":
        prepare(options)
    else:
        run(options)
        print(options.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()

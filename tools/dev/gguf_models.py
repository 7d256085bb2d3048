"""Tiny random checkpoints and the GGUF files that llama.cpp's converter would make of them.

    python tools/dev/gguf_models.py tests/fixtures/gguf/models [name ...]

For each case a folder with config.json, model.safetensors and tokenizer.json as transformers and tokenizers write them,
and model.gguf with the same weights, named and laid out as llama.cpp's converter does (q and k of Llama in pairs of rows,
Gemma's norms with 1 added, position tables cut, poolers dropped). The tests convert both and compare. Seeds are fixed.
"""

import argparse
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from fixture_parts import TEXTS, VOCAB, randomize, save_config, save_weights
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import AddedToken

SINGLE, MULTI = "single_label_classification", "multi_label_classification"
CORPUS = TEXTS + ["the cat was not happy, and the dog is very sad", "thank you! I can't say what I've seen: 12 345 6"] * 3
META = "\u2581"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


# ---- Tokenizers: the one that tokenizers writes, and the keys that llama.cpp's converter makes of it. ----

def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(VOCAB)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def byte_bpe(pre: str) -> Tokenizer:
    """A byte-level BPE of the named pre-tokenizer, with its special tokens first."""
    special = {"roberta-bpe": ["<s>", "<pad>", "</s>", "<unk>"], "modern-bert": ["[UNK]", "[CLS]", "[SEP]", "[PAD]"],
               "llama-bpe": ["<|begin_of_text|>", "<|end_of_text|>"], "qwen2": ["<|endoftext|>", "<|im_start|>"]}[pre]
    mask = {"roberta-bpe": "<mask>", "modern-bert": "[MASK]"}.get(pre)
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in ("llama-bpe", "qwen2"):
        cut = pre_tokenizers.Split(Regex(LLAMA3 if pre == "llama-bpe" else QWEN2), behavior="isolated")
        level = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.pre_tokenizer = level
    if pre in ("modern-bert", "qwen2"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(CORPUS, trainer)
    if mask:
        tokenizer.add_special_tokens([AddedToken(mask, lstrip=True, special=True)])
    ids = {t: tokenizer.token_to_id(t) for t in special}
    template = {"roberta-bpe": "<s> $A </s>", "modern-bert": "[CLS] $A [SEP]", "llama-bpe": "<|begin_of_text|> $A",
                "qwen2": "$A"}[pre]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=list(ids.items()))
    return tokenizer


def unigram() -> Tokenizer:
    """XLM-RoBERTa's, without a character map."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [META + w for w in "the cat is happy a dog was not good bad very sad thank you love".split()]
    pieces = words + [META] + list("abcdefghijklmnopqrstuvwxyz.,!?'") + ["ing", "ed", "\u4e2d"]
    rng = np.random.default_rng(7)
    scores = [float(np.float32(-rng.uniform(2, 9))) for _ in pieces]
    tokenizer = Tokenizer(models.Unigram([(s, 0.0) for s in special] + list(zip(pieces, scores)) + [("<mask>", 0.0)],
                                         unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(META, prepend_scheme="always", split=True)])
    tokenizer.add_special_tokens(special + [AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def spm_bpe(prefix: bool, scores: dict) -> Tokenizer:
    """Llama's (with a prefix) or Gemma's (without). Pieces are the merges of a small training, best first."""
    special = ["<unk>", "<s>", "</s>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(META, prepend_scheme="always", split=True)
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    single = sorted(t for t in learned["vocab"] if len(t) == 1)
    merged = [a + b for a, b in learned["merges"]]
    pieces = special + [f"<0x{b:02X}>" for b in range(256)] + list(dict.fromkeys(merged)) + single
    vocab = {p: i for i, p in enumerate(pieces)}
    scores.clear()
    scores.update({p: float(-i) for i, p in enumerate(list(dict.fromkeys(merged)) + single)})
    # Every way to make a piece of two others, as transformers derives it from a SentencePiece file.
    merges = []
    for piece in (p for p in pieces[3 + 256:] if len(p) > 1):
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        merges += sorted(local, key=lambda x: (vocab[x[0]], vocab[x[1]]))
    merges.sort(key=lambda m: -scores[m[0] + m[1]])
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", META)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(META), replace]) if prefix else replace
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, pre: str, scores: dict) -> None:
    told = json.loads(tokenizer.to_str())
    model = told["model"]
    special = {t["content"] for t in told["added_tokens"] if t["special"]}
    if model["type"] == "Unigram":
        tokens, unigram_scores = [p for p, _ in model["vocab"]], [s for _, s in model["vocab"]]
    else:
        vocab = dict(model["vocab"]) | {t["content"]: t["id"] for t in told["added_tokens"]}
        tokens = sorted(vocab, key=vocab.get)
    types = [TokenType.CONTROL if t in special else
             TokenType.BYTE if pre == "llama" and t.startswith("<0x") else TokenType.NORMAL for t in tokens]
    ids = {t: i for i, t in enumerate(tokens)}
    kind = {"bert": "bert", "t5": "t5", "llama": "llama"}.get(pre, "gpt2")
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre({"bert": "default", "t5": "default", "llama": "default"}.get(pre, pre))
    if kind == "bert":
        tokens = [t if t in special else t[2:] if t.startswith("##") else META + t for t in tokens]
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if kind == "gpt2":
        writer.add_token_merges([" ".join(m) for m in model["merges"]])
    if kind == "t5":
        writer.add_token_scores(unigram_scores)
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(True)
    if kind == "llama":
        types[0] = TokenType.UNKNOWN
        writer.add_token_scores([scores.get(t, 0.0) for t in tokens])
    named = {"bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
             "roberta-bpe": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>",
                             "mask": "<mask>"},
             "t5": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "mask": "<mask>"},
             "modern-bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "bos": "[CLS]", "mask": "[MASK]"},
             "llama-bpe": {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>"},
             "qwen2": {"eos": "<|endoftext|>", "pad": "<|endoftext|>", "bos": "<|endoftext|>"},
             "llama": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}}[pre]
    for key, token in named.items():
        if key == "cls":  # as converters before gguf 0.17; later ones write it as bos_token_id
            writer.add_uint32("tokenizer.ggml.cls_token_id", ids[token])
        else:
            getattr(writer, f"add_{key}_token_id")(ids[token])
    if pre == "qwen2":
        writer.add_add_bos_token(False)
    if pre == "llama":
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(False)


# ---- Architectures ----

def common(writer: GGUFWriter, c, layers: int, width: int, heads: int, ffn: int, context: int) -> None:
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_block_count(layers)
    writer.add_head_count(heads)


BERT_NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.{}.attention.self.query": "blk.{}.attn_q", "encoder.layer.{}.attention.self.key": "blk.{}.attn_k",
    "encoder.layer.{}.attention.self.value": "blk.{}.attn_v",
    "encoder.layer.{}.attention.output.dense": "blk.{}.attn_output",
    "encoder.layer.{}.attention.output.LayerNorm": "blk.{}.attn_output_norm",
    "encoder.layer.{}.intermediate.dense": "blk.{}.ffn_up", "encoder.layer.{}.output.dense": "blk.{}.ffn_down",
    "encoder.layer.{}.output.LayerNorm": "blk.{}.layer_output_norm"}
DISTIL_NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
    "transformer.layer.{}.attention.q_lin": "blk.{}.attn_q", "transformer.layer.{}.attention.k_lin": "blk.{}.attn_k",
    "transformer.layer.{}.attention.v_lin": "blk.{}.attn_v",
    "transformer.layer.{}.attention.out_lin": "blk.{}.attn_output",
    "transformer.layer.{}.sa_layer_norm": "blk.{}.attn_output_norm", "transformer.layer.{}.ffn.lin1": "blk.{}.ffn_up",
    "transformer.layer.{}.ffn.lin2": "blk.{}.ffn_down",
    "transformer.layer.{}.output_layer_norm": "blk.{}.layer_output_norm",
    "pre_classifier": "cls", "classifier": "cls.output"}
MODERN_NAMES = {
    "embeddings.tok_embeddings": "token_embd", "embeddings.norm": "token_embd_norm",
    "layers.{}.attn_norm": "blk.{}.attn_norm", "layers.{}.attn.Wqkv": "blk.{}.attn_qkv",
    "layers.{}.attn.Wo": "blk.{}.attn_output", "layers.{}.mlp_norm": "blk.{}.ffn_norm",
    "layers.{}.mlp.Wi": "blk.{}.ffn_up", "layers.{}.mlp.Wo": "blk.{}.ffn_down", "final_norm": "output_norm",
    "head.dense": "cls", "head.norm": "cls.norm", "classifier": "cls.output"}
NOMIC_NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm", "layers.{}.self_attn.qkv": "blk.{}.attn_qkv",
    "layers.{}.self_attn.o_proj": "blk.{}.attn_output",
    "layers.{}.post_attention_layernorm": "blk.{}.attn_output_norm", "layers.{}.mlp.gate_proj": "blk.{}.ffn_gate",
    "layers.{}.mlp.up_proj": "blk.{}.ffn_up", "layers.{}.mlp.down_proj": "blk.{}.ffn_down",
    "layers.{}.post_mlp_layernorm": "blk.{}.layer_output_norm"}


def renamed(name: str, names: dict) -> str | None:
    stem, suffix = name.rsplit(".", 1)
    parts = stem.split(".")
    number = next((p for p in parts if p.isdigit()), None)
    pattern = ".".join("{}" if p == number else p for p in parts)
    return None if pattern not in names else names[pattern].format(number) + "." + suffix


def bert(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    common(writer, c, c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size,
           c.max_position_embeddings)
    writer.add_layer_norm_eps(c.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_token_type_count(c.type_vocab_size)
    writer.add_classifier_output_labels(labels)
    tensors = {n.removeprefix("bert."): t for n, t in tensors.items() if "pooler" not in n}
    return {renamed(n, BERT_NAMES | {"classifier": "cls.output"}): t for n, t in tensors.items()}


def roberta(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    cut = c.pad_token_id + 1
    common(writer, c, c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size,
           c.max_position_embeddings - cut)
    writer.add_layer_norm_eps(c.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_token_type_count(c.type_vocab_size)
    writer.add_classifier_output_labels(labels)
    out = {renamed(n.removeprefix("roberta."), BERT_NAMES | {"classifier.dense": "cls", "classifier.out_proj": "cls.output"}):
           t for n, t in tensors.items()}
    out["position_embd.weight"] = out["position_embd.weight"][cut:]
    return out


def distilbert(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    common(writer, c, c.n_layers, c.dim, c.n_heads, c.hidden_dim, c.max_position_embeddings)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_token_type_count(1)
    writer.add_classifier_output_labels(labels)
    return {renamed(n.removeprefix("distilbert."), DISTIL_NAMES): t for n, t in tensors.items()}


def modernbert(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    common(writer, c, c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size,
           c.max_position_embeddings)
    writer.add_layer_norm_eps(c.norm_eps)
    writer.add_causal_attention(False)
    writer.add_sliding_window(c.local_attention)
    writer.add_rope_freq_base(c.rope_parameters["full_attention"]["rope_theta"])
    writer.add_rope_freq_base_swa(c.rope_parameters["sliding_attention"]["rope_theta"])
    writer.add_vocab_size(c.vocab_size)
    writer.add_string("modern-bert.hidden_activation", c.hidden_activation)
    writer.add_classifier_output_labels(labels)
    return {renamed(n.removeprefix("model."), MODERN_NAMES): t for n, t in tensors.items()}


def nomic(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    common(writer, c, c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size,
           c.max_position_embeddings)
    writer.add_layer_norm_eps(c.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_token_type_count(c.type_vocab_size)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    tensors = {n.removeprefix("nomic_bert."): t for n, t in tensors.items() if "pooler" not in n and "classifier" not in n}
    for i in range(c.num_hidden_layers):
        q, k, v = (tensors.pop(f"layers.{i}.self_attn.{x}_proj.weight") for x in "qkv")
        tensors[f"layers.{i}.self_attn.qkv.weight"] = np.concatenate([q, k, v])
    return {renamed(n, NOMIC_NAMES): t for n, t in tensors.items()}


def base(layers: int, width: int, heads: int, ffn: int, **more) -> dict:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ffn,
            "max_position_embeddings": 40} | more


# name: class, config, GGUF architecture, its function, tokenizer, labels, type of the matrices
CASES = {
    "bert_f32": ("Bert", base(2, 24, 3, 40), "bert", bert, "bert", 3, "F32"),
    "bert_f16": ("Bert", base(1, 20, 5, 33, layer_norm_eps=1e-5), "bert", bert, "bert", 2, "F16"),
    "bert_q4_0": ("Bert", base(2, 32, 2, 64), "bert", bert, "bert", 4, "Q4_0"),
    "distilbert_f32": ("DistilBert", {"n_layers": 2, "dim": 24, "n_heads": 3, "hidden_dim": 40,
                                      "max_position_embeddings": 40}, "bert", distilbert, "bert", 2, "F32"),
    "distilbert_q4_1": ("DistilBert", {"n_layers": 1, "dim": 64, "n_heads": 4, "hidden_dim": 32,
                                       "max_position_embeddings": 40}, "bert", distilbert, "bert", 5, "Q4_1"),
    "distilbert_q8_0": ("DistilBert", {"n_layers": 1, "dim": 64, "n_heads": 2, "hidden_dim": 64,
                                       "max_position_embeddings": 40}, "bert", distilbert, "bert", 2, "Q8_0"),
    "roberta_f32": ("Roberta", base(2, 24, 2, 30, type_vocab_size=1, pad_token_id=1), "bert", roberta, "roberta-bpe", 6,
                    "F32"),
    "roberta_bf16": ("Roberta", base(1, 16, 2, 24, type_vocab_size=1, pad_token_id=1), "bert", roberta, "roberta-bpe", 3,
                     "BF16"),
    "xlm_roberta_f32": ("XLMRoberta", base(1, 18, 3, 25, type_vocab_size=1, pad_token_id=1), "bert", roberta, "t5", 3,
                        "F32"),
    "modernbert_f32": ("ModernBert", base(5, 12, 3, 20, local_attention=6), "modern-bert", modernbert, "modern-bert", 2,
                       "F32"),
    "modernbert_f16": ("ModernBert", base(4, 16, 2, 24, local_attention=7, classifier_pooling="mean"), "modern-bert",
                       modernbert, "modern-bert", 4, "F16"),
    "nomic_bert_f32": ("NomicBert", base(2, 24, 3, 40), "nomic-bert", nomic, "bert", 2, "F32"),
    "nomic_bert_q4_0": ("NomicBert", base(1, 32, 2, 64), "nomic-bert", nomic, "bert", 2, "Q4_0"),
}


def make(name: str, root: Path) -> None:
    classes, config, arch, export, pre, labels, dtype = CASES[name]
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scores: dict = {}
    tokenizer = {"bert": wordpiece, "t5": unigram}.get(pre, lambda: byte_bpe(pre))()
    tokenizer.save(str(folder / "tokenizer.json"))
    if pre == "modern-bert":
        ids = {f"{k}_token_id": tokenizer.token_to_id(t) for k, t in
               {"pad": "[PAD]", "eos": "[SEP]", "bos": "[CLS]", "cls": "[CLS]", "sep": "[SEP]"}.items()}
        config = config | ids
    c = getattr(transformers, classes + "Config")(
        **({"vocab_size": tokenizer.get_vocab_size(), "num_labels": labels, "problem_type": SINGLE} | config))
    c.architectures = [classes + "ForSequenceClassification"]
    model = getattr(transformers, c.architectures[0])(c)
    randomize(model, zlib.crc32(name.encode()))
    tensors = {n: p.detach().numpy().copy() for n, p in model.state_dict().items() if "position_ids" not in n}
    if pre in ("roberta-bpe", "t5"):
        tensors["roberta.embeddings.position_embeddings.weight"][: c.pad_token_id + 1] = 0
    save_config(c, labels, folder)
    # Labels beyond those that transformers gives without being told: llama.cpp's converter drops the latter.
    writer = GGUFWriter(folder / "model.gguf", arch)
    out = export(c, dict(tensors), writer, [f"label {i}" for i in range(labels)])
    assert None not in out, [n for n in tensors if n not in out]
    write_tokenizer(writer, tokenizer, pre, scores)
    qtype = GGMLQuantizationType[dtype]
    kept = {}  # what the checkpoint must hold so that both have the same numbers
    for gguf_name, t in out.items():
        matrix = t.ndim == 2 and not gguf_name.startswith(("position_embd", "token_types", "cls"))
        data = quants.quantize(t, qtype) if matrix else t.astype(np.float32)
        writer.add_tensor(gguf_name, data, raw_dtype=qtype if matrix else None)
        kept[gguf_name] = quants.dequantize(data, qtype).reshape(t.shape) if matrix else t
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    restore(tensors, kept, export, c)
    save_weights(tensors, folder)
    total = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {total} bytes, of which GGUF {(folder / 'model.gguf').stat().st_size}")


def restore(tensors: dict, kept: dict, export, c) -> None:
    """Puts the quantised values into the checkpoint's tensors, by exporting their places."""
    class Silent:
        def __getattr__(self, _):
            return lambda *_: None

    places, begin = {}, 0
    for n, t in tensors.items():
        places[n] = np.arange(begin, begin + t.size, dtype=np.int64).reshape(t.shape)
        begin += t.size
    flat = np.concatenate([t.reshape(-1) for t in tensors.values()])
    for gguf_name, where in export(c, dict(places), Silent(), []).items():
        flat[where.reshape(-1)] = kept[gguf_name].reshape(-1)
    for n, place in places.items():
        tensors[n] = flat[place].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or CASES:
        make(name, arguments.output)


if __name__ == "__main__":
    main()

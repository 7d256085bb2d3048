"""Tiny random checkpoints and the GGUF files that llama.cpp's converter would make of them.

    python tools/dev/gguf_models.py tests/fixtures/gguf/models [name ...]

For each case a folder with config.json, model.safetensors and tokenizer.json as transformers and tokenizers write them
(language models in the folder words beside OUT),
and model.gguf with the same weights, named and laid out as llama.cpp's converter does (q and k of Llama in pairs of rows,
Gemma's norms with 1 added, position tables cut, poolers dropped). The tests convert both and compare. Seeds are fixed.
"""

import argparse
import json
import math
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from fixture_parts import TEXTS, VOCAB, randomize, save_config, save_weights
from gguf import GGMLQuantizationType, GGUFWriter, RopeScalingType, TokenType, quants
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
             TokenType.BYTE if pre in ("llama", "gemma") and t.startswith("<0x") else TokenType.NORMAL for t in tokens]
    if pre in ("llama", "gemma"):
        types[0] = TokenType.UNKNOWN
    ids = {t: i for i, t in enumerate(tokens)}
    kind = {"bert": "bert", "t5": "t5", "llama": "llama", "gemma": "llama"}.get(pre, "gpt2")
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre("default" if kind != "gpt2" else pre)
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
        writer.add_token_scores([scores.get(t, 0.0) for t in tokens])
    named = {"bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
             "roberta-bpe": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>",
                             "mask": "<mask>"},
             "t5": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "mask": "<mask>"},
             "modern-bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "bos": "[CLS]", "mask": "[MASK]"},
             "llama-bpe": {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>"},
             "qwen2": {"eos": "<|endoftext|>", "pad": "<|endoftext|>", "bos": "<|endoftext|>"},
             "llama": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"},
             "gemma": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}}[pre]
    for key, token in named.items():
        if key == "cls":  # as converters before gguf 0.17; later ones write it as bos_token_id
            writer.add_uint32("tokenizer.ggml.cls_token_id", ids[token])
        else:
            getattr(writer, f"add_{key}_token_id")(ids[token])
    if pre == "qwen2":
        writer.add_add_bos_token(False)
    if pre == "gemma":
        writer.add_add_space_prefix(False)
    if kind == "llama":
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


DECODER_NAMES = {
    "embed_tokens": "token_embd", "layers.{}.input_layernorm": "blk.{}.attn_norm",
    "layers.{}.self_attn.q_proj": "blk.{}.attn_q", "layers.{}.self_attn.k_proj": "blk.{}.attn_k",
    "layers.{}.self_attn.v_proj": "blk.{}.attn_v", "layers.{}.self_attn.o_proj": "blk.{}.attn_output",
    "layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm", "layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    "layers.{}.self_attn.qkv_proj": "blk.{}.attn_qkv", "layers.{}.post_attention_layernorm": "blk.{}.ffn_norm",
    "layers.{}.mlp.gate_proj": "blk.{}.ffn_gate", "layers.{}.mlp.up_proj": "blk.{}.ffn_up",
    "layers.{}.mlp.gate_up_proj": "blk.{}.ffn_up", "layers.{}.mlp.down_proj": "blk.{}.ffn_down",
    "norm": "output_norm", "score": "cls.output", "lm_head": "output"}
GEMMA_NAMES = DECODER_NAMES | {
    "layers.{}.post_attention_layernorm": "blk.{}.post_attention_norm",
    "layers.{}.pre_feedforward_layernorm": "blk.{}.ffn_norm",
    "layers.{}.post_feedforward_layernorm": "blk.{}.post_ffw_norm"}


def decoder(names: dict, c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    """The score is written as llama.cpp's converter writes a reranker's; a real file of another decoder lacks it."""
    common(writer, c, c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size,
           c.max_position_embeddings)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    if labels:
        writer.add_classifier_output_labels(labels)
    return {renamed(n.removeprefix("model."), names): t for n, t in tensors.items()}


def paired(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows i and i + half of each head side by side."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    out = decoder(DECODER_NAMES, c, tensors, writer, labels)
    for name in out:
        if ".attn_q." in name:
            out[name] = paired(out[name], c.num_attention_heads)
        if ".attn_k." in name:
            out[name] = paired(out[name], c.num_key_value_heads)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    rope = c.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "llama3":
        freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim))
        low, high, context = rope["low_freq_factor"], rope["high_freq_factor"], 8192
        divisors = []
        for freq in freqs:
            wave = 2 * math.pi / freq
            smooth = (context / wave - low) / (high - low)
            divisors.append(1 if wave < context / high else rope["factor"] if wave > context / low else
                            1 / ((1 - smooth) / rope["factor"] + smooth))
        if isinstance(writer, GGUFWriter):  # last, so that other tensors keep their places
            writer.rope = {"rope_freqs.weight": np.array([float(d) for d in divisors], dtype=np.float32)}
    return out


def qwen(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    rope = c.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if hasattr(c, "head_dim"):
        writer.add_key_length(c.head_dim)
        writer.add_value_length(c.head_dim)
    return decoder(DECODER_NAMES, c, tensors, writer, labels)


def gemma(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_sliding_window(c.sliding_window)
    if c.model_type == "gemma2":
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
    else:
        full, local = c.rope_parameters["full_attention"], c.rope_parameters["sliding_attention"]
        writer.add_rope_freq_base(full["rope_theta"])
        writer.add_rope_freq_base_swa(local["rope_theta"])
        if full["rope_type"] == "linear":
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(full["factor"])
    out = decoder(GEMMA_NAMES, c, tensors, writer, labels)
    if isinstance(writer, GGUFWriter):
        out = {n: t + np.float32(1) if n.endswith("norm.weight") else t for n, t in out.items()}
    return out


def phi3(c, tensors: dict, writer: GGUFWriter, labels: list) -> dict:
    rope = c.rope_parameters
    writer.add_rope_dimension_count(int(rope.get("partial_rotary_factor", 1.0) * c.hidden_size) // c.num_attention_heads)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
    writer.add_sliding_window(c.sliding_window or 0)
    if rope["rope_type"] == "longrope" and isinstance(writer, GGUFWriter):
        scale = c.max_position_embeddings / c.original_max_position_embeddings
        writer.add_rope_scaling_attn_factors(
            math.sqrt(1 + math.log(scale) / math.log(c.original_max_position_embeddings)) if scale > 1 else 1.0)
        writer.rope = {f"rope_factors_{x}.weight": np.array(rope[f"{x}_factor"], dtype=np.float32)
                       for x in ("long", "short")}
    return decoder(DECODER_NAMES, c, tensors, writer, labels)


def base(layers: int, width: int, heads: int, ffn: int, **more) -> dict:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ffn,
            "max_position_embeddings": 40} | more


def grouped(layers: int, width: int, heads: int, kv_heads: int, ffn: int, **more) -> dict:
    return base(layers, width, heads, ffn, num_key_value_heads=kv_heads, pad_token_id=None) | more


LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


# name: class, config, GGUF architecture, its function, tokenizer, labels (0: a language model), type of the matrices
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
    "llama_f32": ("Llama", grouped(2, 32, 2, 1, 40, rope_parameters=LLAMA3_ROPE), "llama", llama, "llama-bpe", 3, "F32"),
    "llama_f16": ("Llama", grouped(2, 24, 4, 2, 33, head_dim=10, attention_bias=True), "llama", llama, "llama", 2, "F16"),
    "llama_q4_0": ("Llama", grouped(1, 64, 4, 2, 96, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}), "llama", llama, "llama", 2, "Q4_0"),
    "mistral_f32": ("Mistral", grouped(2, 20, 4, 2, 29, head_dim=6, sliding_window=5), "llama", llama, "llama", 3, "F32"),
    "qwen2_f32": ("Qwen2", grouped(2, 28, 14, 2, 37, rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "qwen2",
                  qwen, "qwen2", 3, "F32"),
    "qwen2_q4_1": ("Qwen2", grouped(1, 32, 4, 2, 64), "qwen2", qwen, "qwen2", 2, "Q4_1"),
    "qwen3_f16": ("Qwen3", grouped(2, 18, 3, 1, 31, head_dim=14), "qwen3", qwen, "qwen2", 2, "F16"),
    "gemma2_f32": ("Gemma2", grouped(3, 24, 4, 2, 33, head_dim=12, query_pre_attn_scalar=12, attn_logit_softcapping=2.0,
                                     sliding_window=4), "gemma2", gemma, "gemma", 2, "F32"),
    "gemma3_f32": ("Gemma3Text", grouped(7, 20, 4, 2, 17, head_dim=10, query_pre_attn_scalar=10, sliding_window=4,
                                         rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 1e6,
                                                                             "factor": 8.0},
                                                          "sliding_attention": {"rope_type": "default",
                                                                                "rope_theta": 10000.0}}),
                   "gemma3", gemma, "gemma", 4, "F32"),
    "phi3_f32": ("Phi3", grouped(2, 24, 4, 4, 33, sliding_window=7), "phi3", phi3, "llama", 2, "F32"),
    "phi3_bf16": ("Phi3", grouped(2, 32, 4, 2, 21, original_max_position_embeddings=16, partial_rotary_factor=0.75,
                                  rope_parameters={"rope_type": "longrope", "rope_theta": 250000.0,
                                                   "short_factor": [1.0, 1.05, 1.25], "long_factor": [1.5, 2.25, 3.0]}),
                  "phi3", phi3, "llama", 3, "BF16"),
    "llama_untied_f32": ("Llama", grouped(2, 24, 4, 2, 33), "llama", llama, "llama-bpe", 0, "F32"),
    "qwen2_yarn_q4_0": ("Qwen2", grouped(2, 64, 4, 2, 32, tie_word_embeddings=True, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}), "qwen2", qwen,
                        "qwen2", 0, "Q4_0"),
    "qwen3_untied_q8_0": ("Qwen3", grouped(1, 32, 2, 1, 64, head_dim=32), "qwen3", qwen, "qwen2", 0, "Q8_0"),
    "gemma2_softcap_f16": ("Gemma2", grouped(3, 24, 4, 2, 33, head_dim=12, query_pre_attn_scalar=12, sliding_window=4,
                                             attn_logit_softcapping=2.0, final_logit_softcapping=3.0), "gemma2", gemma,
                           "gemma", 0, "F16"),
}


def make(name: str, root: Path) -> None:
    classes, config, arch, export, pre, labels, dtype = CASES[name]
    folder = root / name if labels else root.parent / "words" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scores: dict = {}
    tokenizer = {"bert": wordpiece, "t5": unigram, "llama": lambda: spm_bpe(True, scores),
                 "gemma": lambda: spm_bpe(False, scores)}.get(pre, lambda: byte_bpe(pre))()
    if arch == "phi3":
        # The family's are written without what stands before a text, and its tokens take the spaces behind them.
        told = json.loads(tokenizer.to_str())
        for token in told["added_tokens"]:
            token["rstrip"] = token["content"] not in ("<unk>", "<s>")
        tokenizer = Tokenizer.from_str(json.dumps(told))
    tokenizer.save(str(folder / "tokenizer.json"))
    if pre == "modern-bert":
        ids = {f"{k}_token_id": tokenizer.token_to_id(t) for k, t in
               {"pad": "[PAD]", "eos": "[SEP]", "bos": "[CLS]", "cls": "[CLS]", "sep": "[SEP]"}.items()}
        config = config | ids
    c = getattr(transformers, classes + "Config")(
        **({"vocab_size": tokenizer.get_vocab_size()} |
           ({"num_labels": labels, "problem_type": SINGLE} if labels else {}) | config))
    c.architectures = [classes + "ForSequenceClassification" if labels else classes.removesuffix("Text") + "ForCausalLM"]
    model = getattr(transformers, c.architectures[0])(c)
    randomize(model, zlib.crc32(name.encode()))
    tensors = {n: p.detach().numpy().copy() for n, p in model.state_dict().items() if "position_ids" not in n}
    if pre in ("roberta-bpe", "t5"):
        tensors["roberta.embeddings.position_embeddings.weight"][: c.pad_token_id + 1] = 0
    if labels:
        save_config(c, labels, folder)
    else:
        (folder / "config.json").write_text(json.dumps(c.to_dict(), indent=1))
        if c.tie_word_embeddings:
            del tensors["lm_head.weight"]
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
        # Gemma's norms are a sum in f32: kept is what the checkpoint has before it.
        kept[gguf_name] = (quants.dequantize(data, qtype).reshape(t.shape) if matrix else
                           t - np.float32(1) if arch.startswith("gemma") and gguf_name.endswith("norm.weight") else t)
    for rope_name, t in getattr(writer, "rope", {}).items():
        writer.add_tensor(rope_name, t)
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

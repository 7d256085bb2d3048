#!/usr/bin/env python3
"""Tiny random checkpoints of every decoder family, with the reference implementation's answers.

    python tools/dev/decoder_fixtures.py tests/fixtures [family ...]

As encoder_fixtures.py; `pooled` is the row of hidden.* that the logits of a text come from. Attention is eager, in f32:
other implementations leave Gemma 2's softcap out. Texts run one at a time, so longrope takes each one's own length. Where
`old` is set, config.json is written as releases before transformers 5 did. Seeds are fixed.
"""

import argparse
import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import mobilellm_reference
import numpy as np
import torch
import transformers
from decoder_tokenizers import TOKENIZERS
from fixture_parts import save_config, save_expected
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

TEXTS = [
    "The cat is happy.",
    " ",
    "What?!  Thank-you, you're VERY good 1234",
    "Café naïve 中文 and я",
    "the cat is not good, the dog is not bad: " * 2,
    "good <pad>cat<pad><pad>",
    "<pad>",
    "a",
]


@dataclass
class Case:
    family: str
    name: str
    tokenizer: str
    config: dict
    classes: int = 2
    problem: str = SINGLE
    dtype: str = "f16"
    old: bool = False
    texts: list = field(default_factory=lambda: TEXTS)


CLASSES = {
    "llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma2": "Gemma2",
    "gemma3": "Gemma3Text", "phi3": "Phi3", "mobilellm": "MobileLLM",
}


def sizes(layers: int, width: int, heads: int, kv_heads: int, ffn: int, **more) -> dict:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads,
            "num_key_value_heads": kv_heads, "intermediate_size": ffn, "max_position_embeddings": 40} | more


def rope(kind: str = "default", theta: float = 10000.0, **more) -> dict:
    return {"rope_type": kind, "rope_theta": theta} | more


LLAMA3 = rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


YARN = {"factor": 4.0, "original_max_position_embeddings": 10}


def longrope(pairs: int, theta: float = 10000.0, **more) -> dict:
    return rope("longrope", theta, short_factor=[1 + 0.05 * i for i in range(pairs)],
                long_factor=[1.5 + 0.7 * i for i in range(pairs)], **more)


CASES = [
    Case("llama", "llama3_scaling", "llama3", sizes(3, 24, 4, 2, 33, rope_parameters=LLAMA3)),
    Case("llama", "llama3_scaling_old", "llama3", sizes(2, 24, 2, 1, 17, rope_parameters=LLAMA3), 3, old=True),
    Case("llama", "llama2_no_padding", "llama2", sizes(2, 30, 5, 5, 41, pad_token_id=None), 1, REGRESSION),
    Case("llama", "smollm2", "smollm2", sizes(2, 36, 9, 3, 20, rope_parameters=rope(theta=100000.0)), 5, MULTI, "bf16"),
    Case("llama", "biases_linear", "llama3", sizes(2, 28, 4, 1, 19, head_dim=10, attention_bias=True, mlp_bias=True,
                                                  rope_parameters=rope("linear", factor=2.5)), 4, dtype="f32"),
    Case("llama", "padding_ends_a_text", "llama2", sizes(2, 20, 2, 2, 30, eos_token_id=3, pad_token_id=3,
                                                         hidden_act="gelu"), 28, MULTI),
    Case("llama", "yarn", "llama3", sizes(3, 32, 2, 1, 33, rope_parameters=rope(
        "yarn", 20.0, **YARN, beta_fast=1.0, beta_slow=0.1, attention_factor=0.9)), 3, dtype="bf16"),
    Case("mistral", "window_5", "llama2", sizes(3, 24, 4, 2, 33, sliding_window=5)),
    Case("mistral", "nemo", "tekken", sizes(2, 20, 4, 2, 29, head_dim=12, sliding_window=None,
                                            rope_parameters=rope(theta=1000000.0)), 3, dtype="bf16"),
    Case("mistral", "window_1_old", "llama2", sizes(2, 18, 3, 1, 21, sliding_window=1), 1, REGRESSION, old=True),
    Case("mistral", "window_beyond_the_text", "llama2", sizes(2, 28, 7, 1, 15, sliding_window=100), 5, MULTI),
    Case("mistral", "f32_window_7", "tekken", sizes(4, 16, 2, 2, 40, sliding_window=7), 2, dtype="f32"),
    Case("qwen2", "seven_heads_a_group", "qwen2", sizes(2, 28, 14, 2, 37, rope_parameters=rope(theta=1e6))),
    Case("qwen2", "windows_from_layer_1", "qwen2", sizes(3, 20, 5, 1, 33, use_sliding_window=True, sliding_window=6,
                                                         max_window_layers=1), 3),
    Case("qwen2", "windows_from_layer_1_old", "qwen2", sizes(3, 20, 5, 5, 12, use_sliding_window=True, sliding_window=4,
                                                             max_window_layers=1), 1, REGRESSION, old=True),
    Case("qwen2", "no_padding", "qwen2", sizes(3, 22, 1, 1, 30, pad_token_id=None), 28, MULTI, "bf16"),
    Case("qwen2", "f32", "qwen2", sizes(2, 24, 6, 3, 17, sliding_window=3), 2, dtype="f32"),
    Case("qwen2", "yarn", "qwen2", sizes(2, 48, 3, 1, 21, rope_parameters=rope("yarn", 1000.0, **YARN)), 4),
    Case("qwen2", "yarn_old", "qwen2", sizes(2, 40, 2, 2, 25, rope_parameters=rope(
        "yarn", 1e6, factor=2.5, original_max_position_embeddings=16, mscale=1.2, mscale_all_dim=0.8)), 1, REGRESSION,
         old=True),
    Case("qwen3", "wide_heads", "qwen2", sizes(2, 18, 3, 1, 31, head_dim=14, rope_parameters=rope(theta=1e6))),
    Case("qwen3", "biases", "qwen2", sizes(2, 24, 4, 2, 19, head_dim=6, attention_bias=True), 3, dtype="bf16"),
    Case("qwen3", "windows", "qwen2", sizes(4, 20, 4, 4, 26, head_dim=8, use_sliding_window=True, sliding_window=5,
                                            max_window_layers=2), 1, REGRESSION),
    Case("qwen3", "old", "qwen2", sizes(3, 17, 2, 1, 22, head_dim=10), 7, MULTI, old=True),
    Case("qwen3", "yarn", "qwen2", sizes(2, 22, 2, 1, 30, head_dim=16, rope_parameters=rope(
        "yarn", 100.0, **YARN, beta_fast=2.0, beta_slow=0.2, truncate=False)), 2),
    Case("qwen3", "f32", "qwen2", sizes(2, 26, 8, 2, 35, head_dim=4, rms_norm_eps=1e-5), 2, dtype="f32"),
    Case("gemma2", "softcap_2", "gemma", sizes(3, 24, 4, 2, 33, head_dim=12, query_pre_attn_scalar=5,
                                               attn_logit_softcapping=2.0, sliding_window=4)),
    Case("gemma2", "no_softcap", "gemma", sizes(2, 20, 2, 1, 21, head_dim=10, query_pre_attn_scalar=10,
                                                attn_logit_softcapping=None, sliding_window=6), 3, dtype="bf16"),
    Case("gemma2", "all_windowed", "gemma", sizes(3, 18, 3, 3, 25, head_dim=6, query_pre_attn_scalar=6, sliding_window=3,
                                                  layer_types=["sliding_attention"] * 3), 1, REGRESSION),
    Case("gemma2", "biases_old", "gemma", sizes(4, 16, 4, 1, 30, head_dim=8, query_pre_attn_scalar=9, attention_bias=True,
                                                attn_logit_softcapping=1.5, sliding_window=5), 4, MULTI, old=True),
    Case("gemma2", "f32", "gemma", sizes(2, 28, 7, 7, 19, head_dim=4, query_pre_attn_scalar=4,
                                         attn_logit_softcapping=5.0, sliding_window=2), 2, dtype="f32"),
    Case("gemma3", "seven_layers", "gemma", sizes(7, 20, 4, 2, 17, head_dim=10, query_pre_attn_scalar=10,
                                                  sliding_window=4)),
    Case("gemma3", "linear_scaling", "gemma", sizes(
        6, 16, 2, 1, 23, head_dim=8, query_pre_attn_scalar=6, sliding_window=5,
        rope_parameters={"full_attention": rope("linear", 1e6, factor=8.0), "sliding_attention": rope()}), 3,
         dtype="bf16"),
    Case("gemma3", "every_second_old", "gemma", sizes(4, 18, 3, 3, 25, head_dim=6, query_pre_attn_scalar=6,
                                                      sliding_window=3, sliding_window_pattern=2), 1, REGRESSION, old=True),
    Case("gemma3", "all_global", "gemma", sizes(2, 24, 6, 2, 30, head_dim=4, query_pre_attn_scalar=4,
                                                layer_types=["full_attention"] * 2), 6, MULTI),
    Case("gemma3", "f32_all_windowed", "gemma", sizes(3, 22, 2, 2, 19, head_dim=12, query_pre_attn_scalar=3,
                                                      sliding_window=6), 2, dtype="f32"),
    Case("phi3", "window_7", "llama2", sizes(3, 24, 4, 4, 33, sliding_window=7)),
    Case("phi3", "longrope", "llama2", sizes(2, 24, 4, 2, 20, original_max_position_embeddings=12,
                                             rope_parameters=longrope(3)), 3, dtype="bf16"),
    Case("phi3", "partial_longrope", "o200k", sizes(2, 32, 4, 2, 21, original_max_position_embeddings=16,
                                                    partial_rotary_factor=0.75, rope_parameters=longrope(3, 250000.0)),
         1, REGRESSION),
    Case("phi3", "partial_longrope_old", "o200k", sizes(2, 30, 3, 1, 27, original_max_position_embeddings=10,
                                                        partial_rotary_factor=0.6, sliding_window=30,
                                                        rope_parameters=longrope(3)), 5, MULTI, old=True),
    Case("phi3", "f32_partial", "llama2", sizes(4, 16, 2, 1, 15, partial_rotary_factor=0.5), 2, dtype="f32"),
    Case("mobilellm", "layers_shared", "llama2", sizes(2, 24, 4, 2, 33, layer_sharing=True, share_embedding=True)),
    Case("mobilellm", "seven_heads_a_group", "llama2", sizes(3, 28, 14, 2, 37, share_embedding=True), 3, dtype="bf16"),
    Case("mobilellm", "one_layer_twice", "llama2", sizes(1, 18, 3, 1, 25, layer_sharing=True, pad_token_id=None), 1,
         REGRESSION),
    Case("mobilellm", "biases_linear", "llama2", sizes(2, 20, 2, 2, 19, attention_bias=True, mlp_bias=True,
                                                       layer_sharing=True, rope_parameters=rope("linear", factor=2.0)),
         5, MULTI),
    Case("mobilellm", "f32_padding_ends_a_text", "llama2", sizes(3, 30, 5, 5, 22, eos_token_id=3, pad_token_id=3), 28,
         MULTI, "f32"),
]


@dataclass
class Words:
    """A language model whose labels are words, below label_words/lm."""

    name: str
    model: str
    tokenizer: str
    config: dict
    prompt: str
    labels: dict
    dtype: str = "f16"


WORDS = [
    Words("llama_untied", "Llama", "llama3", sizes(2, 24, 4, 2, 33, max_position_embeddings=120),
          "Is the text below good?\n\"{text}\"\nAnswer:", {"yes": [" very"], "no": [" not"], "mixed": [" good"]}),
    Words("qwen2_chat", "Qwen2", "qwen2", sizes(2, 20, 5, 1, 21, max_position_embeddings=120, tie_word_embeddings=True),
          "<s>user\nthe cat is happy and the dog is sad\n{text}</s>\n<s>assistant\n",
          {"good": ["good", "happy", "love"], "bad": ["bad", "sad"]}, "bf16"),
    Words("gemma2_softcap", "Gemma2", "gemma", sizes(
        3, 18, 3, 1, 25, head_dim=6, query_pre_attn_scalar=6, sliding_window=9, max_position_embeddings=120,
        attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
          "thank you\n{text}\nit is a", {"cat": [" cat", "cat"], "dog": [" dog"], "it": [" it", "it", "It"]}),
    # Labels that begin alike: two words and three, below one node and below one another; some words apart from them.
    Words("llama_begin_alike", "Llama", "llama3", sizes(2, 24, 4, 2, 33, max_position_embeddings=120),
          "Is the text below good?\n\"{text}\"\nAnswer:",
          {"good": [" very good", " good"], "bad": [" very bad"], "happy": [" very very happy.", " love"],
           "sad": [" very very sad and", " very very hate"]}),
    Words("qwen2_begin_alike", "Qwen2", "qwen2", sizes(
        3, 20, 5, 1, 21, max_position_embeddings=120, tie_word_embeddings=True, use_sliding_window=True,
        sliding_window=7, max_window_layers=1),
          "<s>user\nthe cat is happy and the dog is sad\n{text}</s>\n<s>assistant\n",
          {"good": ["the cat is good</s>"], "bad": ["the cat is bad</s>"], "neither": ["the cat is</s>"]}, "bf16"),
    Words("gemma2_begin_alike", "Gemma2", "gemma", sizes(
        3, 18, 3, 1, 25, head_dim=6, query_pre_attn_scalar=6, sliding_window=9, max_position_embeddings=120,
        attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
          "thank you\n{text}\nit is", {"happy": [" not sad", " happy"], "sad": [" not happy", " not good", " sad"]}),
    Words("mobilellm_shared", "MobileLLM", "llama2", sizes(2, 24, 4, 2, 33, max_position_embeddings=120,
                                                           layer_sharing=True, share_embedding=True),
          "it is {text}.\nthe", {"cat": ["cat."], "cat and dog": ["cat and dog"], "dog": ["dog"]}),
]


def randomize(model: torch.nn.Module, seed: int, norms_at: float) -> None:
    """As fixture_parts.randomize; norms are stored around `norms_at`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(norms_at + 0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.6 * noise)
            else:
                parameter.copy_(1.2 * noise / parameter.shape[1] ** 0.5)


def write_as_before_5(folder: Path) -> None:
    """rope_theta and rope_scaling beside each other; windows by a period instead of a list."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config.pop("layer_types", None)
    if "full_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
    config["rope_theta"] = parameters.pop("rope_theta")
    part = parameters.pop("partial_rotary_factor", 1.0)
    if part != 1.0:
        config["partial_rotary_factor"] = part
    parameters["type"] = parameters.pop("rope_type")
    parameters.pop("original_max_position_embeddings" if "original_max_position_embeddings" in config else "", None)
    config["rope_scaling"] = None if parameters["type"] == "default" else parameters
    path.write_text(json.dumps(config, indent=1))


class Stages:
    """What the first layer reads, what every layer writes, and the final norm, of one call."""

    def __init__(self, base: torch.nn.Module):
        self.rows = []
        for layer in dict.fromkeys(base.layers):  # one that runs twice is there twice
            layer.register_forward_pre_hook(self.before, with_kwargs=True)
            layer.register_forward_hook(self.after)
        base.norm.register_forward_hook(self.after)

    def before(self, _, args, kwargs) -> None:
        if not self.rows:
            self.rows.append((args[0] if args else kwargs["hidden_states"])[0].numpy().copy())

    def after(self, _, __, output) -> None:
        self.rows.append((output[0] if isinstance(output, tuple) else output)[0].numpy().copy())


def make_words(case: Words, root: Path) -> None:
    folder = root / "label_words" / "lm" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = TOKENIZERS[case.tokenizer]()
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = {f"{n}_token_id": tokenizer.token_to_id(t) for n, t in (("bos", "<s>"), ("eos", "</s>"), ("pad", "<pad>"))}
    options = {"vocab_size": tokenizer.get_vocab_size()} | ends | case.config
    name = case.model + "ForCausalLM"
    mobile = case.model == "MobileLLM"
    if mobile:
        model = mobilellm_reference.language_model(options)
        config = model.config
    else:
        config = getattr(transformers, case.model + "Config")(**options)
        config._attn_implementation = "eager"
        model = getattr(transformers, name)(config)
    config.architectures = [name]
    randomize(model, zlib.crc32(case.name.encode()), 0.0 if case.model.startswith("Gemma") else 1.0)
    tensors = {n: p.detach().to(DTYPES[case.dtype]).contiguous() for n, p in model.state_dict().items()}
    model.load_state_dict({n: t.float() for n, t in tensors.items()})
    model.eval()
    if config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1))
    if mobile:
        mobilellm_reference.write_config(config, options, name, folder)
        mobilellm_reference.repeat_layers(model, options)
    (folder / "labels.json").write_text(json.dumps({"template": case.prompt, "labels": case.labels}, indent=1))

    encode = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    words = [[encode(w, add_special_tokens=False)["input_ids"] for w in words] for words in case.labels.values()]
    texts = [TEXTS[0], TEXTS[2], TEXTS[3], TEXTS[4], "a"]
    ids, starts, logits = [], [0], []
    for text in texts:
        encoded = encode(case.prompt.replace("{text}", text))["input_ids"]
        ids += encoded
        starts.append(len(ids))
        logits.append(label_logits(model, encoded, words))
    save_expected(folder, texts, ids, starts, logits, [])


def label_logits(model: torch.nn.Module, prompt: list, words: list) -> np.ndarray:
    """By label: log(sum(exp)) of its words' scores. A word's score is the logit of its first token, and at each further
    one log softmax among the tokens with which any word goes on that begins alike. Every beginning is a call of its own."""
    every = [tuple(w) for label in words for w in label]
    seen: dict = {}

    def after(begin: tuple) -> torch.Tensor:
        if begin not in seen:
            with torch.no_grad():
                seen[begin] = model(input_ids=torch.tensor([prompt + list(begin)])).logits[0, -1]
        return seen[begin]

    def score(word: tuple) -> float:
        total = after(())[word[0]]
        for k in range(1, len(word)):
            others = sorted({w[k] for w in every if w[:k] == word[:k] and len(w) > k})
            if len(others) > 1:
                total = total + torch.log_softmax(after(word[:k])[others], 0)[others.index(word[k])]
        return float(total)

    return np.array([np.logaddexp.reduce(sorted(score(w) for w in {tuple(w) for w in label})) for label in words])


def pooled_token(ids: list, pad: int | None) -> int:
    """GenericForSequenceClassification's rule."""
    if pad is None:
        return len(ids) - 1
    return int(np.argmax([t if id != pad else 0 for t, id in enumerate(ids)]))


def make(case: Case, root: Path) -> None:
    folder = root / case.family / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = TOKENIZERS[case.tokenizer]()
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = {"bos_token_id": tokenizer.token_to_id("<s>"), "eos_token_id": tokenizer.token_to_id("</s>"),
            "pad_token_id": tokenizer.token_to_id("<pad>")}
    options = {"vocab_size": tokenizer.get_vocab_size(), "num_labels": case.classes,
               "problem_type": case.problem} | ends | case.config
    name = CLASSES[case.family] + "ForSequenceClassification"
    mobile = case.family == "mobilellm"
    if mobile:
        model = mobilellm_reference.classifier(options)
        config = model.config
    else:
        config = getattr(transformers, CLASSES[case.family] + "Config")(**options)
        config._attn_implementation = "eager"
        model = getattr(transformers, name)(config)
    config.architectures = [name]
    randomize(model, zlib.crc32(f"{case.family}/{case.name}".encode()), 0.0 if case.family.startswith("gemma") else 1.0)
    tensors = {n: p.detach().to(DTYPES[case.dtype]).contiguous() for n, p in model.state_dict().items()}
    model.load_state_dict({n: t.float() for n, t in tensors.items()})
    model.eval()
    save_config(config, case.classes, folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if case.old:
        write_as_before_5(folder)
    if mobile:
        mobilellm_reference.write_config(config, options, name, folder)
        mobilellm_reference.repeat_layers(model, options)

    encode = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    stages = Stages(model.model)
    ids, starts, pooled, logits, hidden = [], [0], [], [], []
    for text in case.texts:
        encoded = encode(text, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt")
        stages.rows = []
        text_ids = encoded["input_ids"][0].tolist()
        with torch.no_grad():
            if mobile:
                out, at = mobilellm_reference.logits(model, encoded["input_ids"])
            else:
                out = model(input_ids=encoded["input_ids"],
                            attention_mask=torch.ones_like(encoded["input_ids"])).logits[0]
                at = pooled_token(text_ids, config.pad_token_id)
        pooled.append(len(ids) + at)
        ids += text_ids
        starts.append(len(ids))
        hidden.append(stages.rows)
        logits.append(out.numpy())
    save_expected(folder, case.texts, ids, starts, logits, list(zip(*hidden)), pooled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("families", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("transformers", transformers.__version__)
    for case in CASES:
        if arguments.families and case.family not in arguments.families:
            continue
        make(case, arguments.output)
        size = sum(f.stat().st_size for f in (arguments.output / case.family / case.name).iterdir())
        print(f"{case.family}/{case.name}: {size} bytes")
    for words in WORDS:
        if not arguments.families or "label_words" in arguments.families:
            make_words(words, arguments.output)


if __name__ == "__main__":
    main()

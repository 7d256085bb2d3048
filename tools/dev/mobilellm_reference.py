"""MobileLLM's modelling code made of transformers' Llama: the classes that its checkpoints name are not in transformers.

The authors' code (utils/modeling_llama.py of facebookresearch/MobileLLM, commit 1e67bf6) is that of transformers 4.4x
for Llama but for three things, which are all that is here: with layer_sharing every layer runs twice in a row; with
share_embedding there is no lm_head, and the embeddings are the output matrix; and the sequence classifier reads the
token before the first padding, or the last one. It runs without a cache: there both runs of a shared layer would write
to one place.
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification


def config_of(options: dict) -> LlamaConfig:
    """LlamaConfig of the keys that Llama has."""
    config = LlamaConfig(**{k: v for k, v in options.items() if k not in ("layer_sharing", "share_embedding")},
                         use_cache=False)
    config._attn_implementation = "eager"
    return config


def classifier(options: dict) -> LlamaForSequenceClassification:
    return LlamaForSequenceClassification(config_of(options))


def language_model(options: dict) -> LlamaForCausalLM:
    return LlamaForCausalLM(config_of(options | {"tie_word_embeddings": options.get("share_embedding", False)}))


def repeat_layers(model: torch.nn.Module, options: dict) -> None:
    """To be called when the weights are set and saved: a shared layer has one set of them."""
    if options.get("layer_sharing"):
        base = model.model
        base.layers = torch.nn.ModuleList([layer for layer in base.layers for _ in range(2)])
        base.config.num_hidden_layers = len(base.layers)


def pooled_token(ids: list, pad: int | None) -> int:
    return (ids.index(pad) - 1) % len(ids) if pad in ids else len(ids) - 1


def logits(model: LlamaForSequenceClassification, ids: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Of one text, and the token that is read."""
    at = pooled_token(ids[0].tolist(), model.config.pad_token_id)
    return model.score(model.model(input_ids=ids).last_hidden_state[0, at]), at


def write_config(config: LlamaConfig, options: dict, architecture: str, folder: Path) -> None:
    """config.json as the checkpoints have it, which were written before transformers 5."""
    path = folder / "config.json"
    written = json.loads(path.read_text()) if path.exists() else config.to_dict()
    parameters = written.pop("rope_parameters")
    written |= {"architectures": [architecture], "model_type": "mobilellm", "tie_word_embeddings": False,
                "layer_sharing": options.get("layer_sharing", False),
                "share_embedding": options.get("share_embedding", False), "pretraining_tp": 1,
                "rope_theta": parameters["rope_theta"],
                "rope_scaling": None if parameters["rope_type"] == "default" else
                {"type": parameters["rope_type"], "factor": parameters["factor"]}}
    path.write_text(json.dumps(written, indent=1))

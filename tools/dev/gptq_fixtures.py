#!/usr/bin/env python3
"""GPTQ as other packages have it, on the same layers.

    python tools/dev/gptq_fixtures.py --model models/emotion tests/fixtures/quantise

Their own code is run, on the CPU: the class GPTQ of AutoGPTQ and of Intel Neural Compressor, quantize_weight of LLM
Compressor; every order of inputs and way to groups' ranges that they have, with their damping of 0.01. Packages:
gptq_requirements.txt, in an environment of their own.

Writes others.safetensors. Layers: `made_up` (layer.safetensors of quantiser_fixtures.py), and 64 channels and 128 inputs
of two products of the emotion model, as LAYER.w and LAYER.second, the mean of x x^T over the tokens of calibration.txt.
LAYER.PACKAGE.FORM is the least mean over channels of (w - q) second (w - q)^T of that package's variants; FORM is i8
(one scale a channel), i4g32, i4g64 (symmetric) and i4mg32, i4mg64 (with a zero).
"""

import argparse
import importlib
import importlib.util
import logging
import sys
import types
from pathlib import Path

import numpy as np
import torch
from quantiser_fixtures import layer, output_error
from safetensors.numpy import save_file
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

FORMS = {"i8": (8, True, -1), "i4g32": (4, True, 32), "i4g64": (4, True, 64), "i4mg32": (4, False, 32),
         "i4mg64": (4, False, 64)}
DAMPING = 0.01


def linear(w: torch.Tensor) -> torch.nn.Linear:
    out = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    out.weight.data = w.clone()
    return out


def auto_gptq(w, x, bits, symmetric, group):
    # The package's own __init__ loads every model that it knows, and CUDA is waited for whether there is one or not.
    if "auto_gptq" not in sys.modules:
        package = types.ModuleType("auto_gptq")
        package.__path__ = list(importlib.util.find_spec("auto_gptq").submodule_search_locations)
        sys.modules["auto_gptq"] = package
    torch.cuda.synchronize = lambda: None
    gptq = importlib.import_module("auto_gptq.quantization.gptq")
    for by_activation in (False, True):
        for static in (False, True) if group != -1 else (False,):
            for mse in (False, True):
                at = linear(w)
                run = gptq.GPTQ(at)
                run.quantizer.configure(bits, perchannel=True, sym=symmetric, mse=mse)
                run.add_batch(x, None)
                run.fasterquant(percdamp=DAMPING, group_size=group, actorder=by_activation, static_groups=static)
                # Groups in the order of activation have inputs from everywhere: no layout here.
                if not by_activation or static or group == -1:
                    yield at.weight.data


def neural_compressor(w, x, bits, symmetric, group):
    gptq = importlib.import_module("neural_compressor.torch.algorithms.weight_only.gptq")
    logging.getLogger("neural_compressor").setLevel(logging.ERROR)
    config = {"bits": bits, "sym": symmetric, "perchannel": True, "dtype": "int", "group_size": group,
              "use_double_quant": False, "double_quant_sym": False, "double_quant_dtype": "int", "double_quant_bits": 8,
              "double_quant_group_size": 256, "block_size": 128, "percdamp": DAMPING}
    orders = [{}, {"act_order": True, "static_groups": True}, {"static_groups": True}, {"hybrid_order": True}]
    for order in orders if group != -1 else [{}, {"act_order": True}]:
        if order.get("hybrid_order") and w.shape[1] % group != 0:
            continue
        for mse in (False, True):
            at = linear(w)
            run = gptq.GPTQ(at, at.weight.data.clone())
            run.quantizer.configure(config | {"mse": mse, "use_mse_search": mse})
            run.add_batch(x, None)
            yield run.fasterquant(at.weight.data.clone(), percdamp=DAMPING, groupsize=group, **order)[-1]


def llm_compressor(w, x, bits, symmetric, group):
    if group != -1 and w.shape[1] % group != 0:
        return
    quantization = importlib.import_module("compressed_tensors.quantization")
    observers = importlib.import_module("llmcompressor.observers")
    gptq = importlib.import_module("llmcompressor.modifiers.gptq.gptq_quantize")
    second = 2 * x.T @ x / len(x)
    for order in (None, "static"):
        for observer in ("memoryless_minmax", "memoryless_mse"):
            arguments = quantization.QuantizationArgs(
                num_bits=bits, symmetric=symmetric, strategy="channel" if group == -1 else "group",
                group_size=None if group == -1 else group, actorder=order if group != -1 else None, observer=observer)
            at = linear(w)
            seen = observers.Observer.load_from_registry(observer, base_name="weight", args=arguments, module=at)
            ranges = seen(at.weight.data).get_qparams()
            yield gptq.quantize_weight(w.clone()[None], second.clone()[None], ranges["scale"][None],
                                       ranges["zero_point"][None], None, arguments, percdamp=DAMPING)[0][0]


PACKAGES = {"auto_gptq": auto_gptq, "neural_compressor": neural_compressor, "llm_compressor": llm_compressor}


def emotion_layers(folder: Path):
    tensors = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
    model = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False).eval()
    model.load_state_dict(tensors, strict=False)
    layers = model.encoder.layer
    products = {"up": layers[2].intermediate.dense, "down": layers[3].output.dense}
    seen = {name: [] for name in products}
    for name, product in products.items():
        product.register_forward_pre_hook(lambda _, inputs, rows=seen[name]: rows.append(inputs[0].flatten(0, -2)))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    with torch.no_grad():
        for text in (folder / "calibration.txt").read_text().splitlines():
            model(torch.tensor([tokenizer.encode(text).ids]))
    for name, product in products.items():
        yield name, product.weight.data[:64, :128].contiguous(), torch.cat(seen[name])[:, :128].contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    w, _, x = layer(7)
    layers = [("made_up", torch.tensor(w), torch.tensor(x, dtype=torch.float32))]
    layers += emotion_layers(arguments.model)
    out = {}
    for name, w, x in layers:
        second = (x.double().T @ x.double() / len(x)).float()
        if name != "made_up":
            out[f"{name}.w"], out[f"{name}.second"] = w.numpy(), second.numpy()
        for package, quantised in PACKAGES.items():
            for form, (bits, symmetric, group) in FORMS.items():
                errors = [output_error(w.numpy(), q.double().numpy(), second.numpy())
                          for q in quantised(w, x, bits, symmetric, group)]
                if not errors:
                    continue
                out[f"{name}.{package}.{form}"] = np.array([min(errors)], np.float32)
                print(f"{name:8} {package:18} {form:7}", " ".join(f"{e:.4e}" for e in errors))
    save_file({n: np.ascontiguousarray(t, np.float32) for n, t in out.items()}, arguments.folder / "others.safetensors")


if __name__ == "__main__":
    main()

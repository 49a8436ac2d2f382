"""Makes a golden case of another architecture: a small random model, random pairs and a recipe in which everything trains.

    python3 tests/golden/new_case.py qwen3     # writes qwen3/model, pairs.jsonl and case.json
    python3 tests/golden/make.py --write qwen3 # then its expected.json

Needs PyTorch, as make.py does. A case that is there is not to be made again: its numbers would be others.
"""

import json
import random
import struct
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
BASE = {
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 32,
    "initializer_range": 0.15,
    "intermediate_size": 44,
    "max_position_embeddings": 128,
    "num_hidden_layers": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "torch_dtype": "float32",
    "vocab_size": 131,
}
ARCHITECTURES = {
    "llama-biases": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    # The heads are wider than the stream, as in Qwen3-0.6B.
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
}


def shapes(config):
    """Every tensor of the model by its name."""
    C, F, V = (config[name] for name in ["hidden_size", "intermediate_size", "vocab_size"])
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim", C // heads)
    kind = config["model_type"]
    attention_bias, mlp_bias = config.get("attention_bias", False), config.get("mlp_bias", False)
    found = {"model.embed_tokens.weight": [V, C]}
    for layer in range(config["num_hidden_layers"]):
        matrices = {
            "self_attn.q_proj": [heads * size, C, attention_bias or kind == "qwen2"],
            "self_attn.k_proj": [kv_heads * size, C, attention_bias or kind == "qwen2"],
            "self_attn.v_proj": [kv_heads * size, C, attention_bias or kind == "qwen2"],
            "self_attn.o_proj": [C, heads * size, attention_bias],
            "mlp.gate_proj": [F, C, mlp_bias],
            "mlp.up_proj": [F, C, mlp_bias],
            "mlp.down_proj": [C, F, mlp_bias],
        }
        norms = {"input_layernorm": C, "post_attention_layernorm": C}
        if kind == "qwen3":
            norms |= {"self_attn.q_norm": size, "self_attn.k_norm": size}
        for name, (outputs, inputs, bias) in matrices.items():
            found[f"model.layers.{layer}.{name}.weight"] = [outputs, inputs]
            if bias:
                found[f"model.layers.{layer}.{name}.bias"] = [outputs]
        for name, width in norms.items():
            found[f"model.layers.{layer}.{name}.weight"] = [width]
    found["model.norm.weight"] = [C]
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = [V, C]
    return found


def write_model(directory, config):
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    header, body = {}, b""
    for name, shape in shapes(config).items():
        values = config["initializer_range"] * torch.randn(shape)
        if name.endswith("norm.weight"):
            values += 1
        data = values.numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def main(name):
    path = HERE / name
    config = {**ARCHITECTURES[name], **BASE, **ARCHITECTURES[name]}
    torch.manual_seed(0)
    random.seed(name)
    write_model(path / "model", config)

    def tokens(length):
        return [random.randrange(config["vocab_size"]) for _ in range(length)]

    pairs = []
    for _ in range(9):
        prompt = tokens(random.randint(1, 30))
        pairs.append({
            "chosen": prompt + tokens(random.randint(1, 30)),
            "rejected": prompt + tokens(random.randint(1, 30)),
            "chosen_prompt_length": len(prompt),
            "rejected_prompt_length": len(prompt),
        })
    (path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    recipe = {
        "loss": "sigmoid",
        "score": "sum_completion",
        "beta": 0.2,
        "label_smoothing": 0.0,
        "lr": 0.001,
        "betas": [0.9, 0.999],
        "eps": 1e-08,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "frozen_layers": 0,
        "train_lm_head": True,
        "train_final_norm": True,
        "train_embeddings": True,
        "tied_grad": "full",
        "batch_size": 3,
        "steps": 3,
    }
    case = {
        "name": name,
        "note": f"Everything of a random {config['architectures'][0]} trains; reference = start.",
        "variants": [recipe],
        "generation": [{"prompt": tokens(length), "new_tokens": 16} for length in [1, 20]],
    }
    (path / "case.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ARCHITECTURES:
        sys.exit(f"Expected one of {', '.join(ARCHITECTURES)}")
    main(sys.argv[1])

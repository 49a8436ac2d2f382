"""Makes the expected numbers of the golden cases afresh, with PyTorch in float64.

    python3 tests/golden/make.py                 # computes all cases, compares with the stored numbers
    python3 tests/golden/make.py tied-gqa        # one case
    python3 tests/golden/make.py --write CASE    # stores what it computed

It reads a case's `model/`, `pairs.jsonl` and `case.json` and makes its `expected.json`; of `sampling/sampling.jsonl` it
makes `kept` and `probs`. README.md says what each number means. Sequences run one by one, so nothing is padded; gradients
are autograd's, updates torch.optim.AdamW's. Needs PyTorch 1.13 or later (Debian: python3-torch) and nothing else.
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
CASES = ["tied-gqa", "untied-mha", "text-seed", "tiny-dialogue", "llama-biases", "qwen2", "qwen3"]
# Relative to 1 + |expected|. Adam divides by the gradient's size, so rounding that it enlarges gets more room.
TOLERANCE = 1e-9
ROUNDED = {"delta_l2", "delta_probe"}
# Shares of pairs with a difference above 0: of a tie they tell how it was rounded.
TIES = {"accuracy": "delta", "implicit_accuracy": "mean_delta"}
# What `losses` has for every case.
LOSSES = [
    {"loss": "seed", "score": "mean_all", "beta": 0.8},
    {"loss": "sigmoid", "score": "sum_completion", "beta": 0.1},
    {"loss": "sigmoid", "score": "sum_completion", "beta": 0.1, "label_smoothing": 0.1},
    {"loss": "robust", "score": "sum_completion", "beta": 0.1, "label_smoothing": 0.1},
    {"loss": "ipo", "score": "mean_completion", "beta": 0.1},
    {"loss": "hinge", "score": "sum_completion", "beta": 0.1},
    {"loss": "sigmoid_norm", "score": "mean_completion", "beta": 2.0},
    {"loss": "exo_pair", "score": "sum_completion", "beta": 0.1, "label_smoothing": 0.1},
    {"loss": "discopop", "score": "sum_completion", "beta": 0.1},
    {"loss": "nca_pair", "score": "sum_completion", "beta": 0.1},
    {"loss": "bco_pair", "score": "sum_completion", "beta": 0.1},
    {"loss": "sppo_hard", "score": "sum_completion", "beta": 0.1},
    {"loss": "apo_zero", "score": "sum_completion", "beta": 0.1},
    {"loss": "apo_down", "score": "sum_completion", "beta": 0.1},
    {"loss": "dpop", "score": "sum_completion", "beta": 0.1},
    {"loss": "simpo", "score": "mean_completion", "beta": 2.0},
    {"loss": "orpo", "score": "mean_completion", "beta": 0.1},
]


def read_json(path):
    return json.loads(path.read_text())


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_safetensors(path):
    """Tensors by name, in float64."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"Expected float32 tensors, found {entry['dtype']} of {name}"
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(body[begin:end], dtype=torch.float32)
        tensors[name] = values.reshape(entry["shape"]).double()
    return tensors


class Decoder:
    """A Llama, Qwen2 or Qwen3 of Hugging Face, for one sequence at a time. Its tensors say which: biases, norms of heads."""

    def __init__(self, directory):
        self.config = read_json(directory / "config.json")
        self.weights = read_safetensors(directory / "model.safetensors")

    def head(self):
        return self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])

    def linear(self, x, name):
        y = x @ self.weights[f"{name}.weight"].T
        return y + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def norm(self, x, name):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * scale * self.weights[name]

    def rotated(self, x):
        """x: (heads, T, head_dim); element i pairs with i + head_dim / 2."""
        _, length, size = x.shape
        exponents = torch.arange(0, size, 2, dtype=torch.float64) / size
        angles = torch.outer(
            torch.arange(length, dtype=torch.float64), self.config["rope_theta"] ** -exponents
        )
        cos, sin = angles.cos(), angles.sin()
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def attention(self, x, prefix):
        length = len(x)
        heads, kv_heads = (self.config[f"num_{name}_heads"] for name in ["attention", "key_value"])

        def split(name, count):
            heads = self.linear(x, f"{prefix}{name}_proj").view(length, count, -1).transpose(0, 1)
            norm = f"{prefix}{name}_norm.weight"
            return self.norm(heads, norm) if norm in self.weights else heads

        query, key, value = split("q", heads), split("k", kv_heads), split("v", kv_heads)
        query, key = self.rotated(query), self.rotated(key)
        key, value = (each.repeat_interleave(heads // kv_heads, 0) for each in [key, value])
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        future = torch.ones(length, length).triu(1).bool()
        out = scores.masked_fill(future, -math.inf).softmax(-1) @ value
        return self.linear(out.transpose(0, 1).reshape(length, -1), f"{prefix}o_proj")

    def logits(self, ids, copied_lookup=False):
        """(T, vocabulary). copied_lookup: as if the look-up used a copy of the embeddings."""
        embeddings = self.weights["model.embed_tokens.weight"]
        x = (embeddings.detach() if copied_lookup else embeddings)[torch.tensor(ids)]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            x = x + self.attention(self.norm(x, f"{prefix}input_layernorm.weight"), f"{prefix}self_attn.")
            h = self.norm(x, f"{prefix}post_attention_layernorm.weight")
            gate, up = (self.linear(h, f"{prefix}mlp.{name}_proj") for name in ["gate", "up"])
            x = x + self.linear(F.silu(gate) * up, f"{prefix}mlp.down_proj")
        return self.norm(x, "model.norm.weight") @ self.head().T

    def scores(self, ids, prompt_length, copied_lookup=False):
        """The four scores of a sequence, as tensors."""
        logprobs = self.logits(ids, copied_lookup)[:-1].log_softmax(-1)
        each = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        parts = {"all": each, "completion": each[prompt_length - 1 :]}
        sums = {f"sum_{name}": part.sum() for name, part in parts.items()}
        return sums | {f"mean_{name}": part.sum() / max(len(part), 1) for name, part in parts.items()}


def sides(pair):
    return [(pair[side], pair[f"{side}_prompt_length"]) for side in ["chosen", "rejected"]]


def score_table(model, pairs):
    """{mean_all: [[chosen, rejected], ...], ...} without gradients."""
    with torch.no_grad():
        rows = [[model.scores(*side) for side in sides(pair)] for pair in pairs]
    return {name: torch.stack([torch.stack([s[name] for s in row]) for row in rows]) for name in rows[0][0]}


def pair_losses(loss, found, theirs, beta, label_smoothing=0.0, discopop_tau=0.05, dpop_lambda=50.0, simpo_gamma=0.5, **_):
    """Per pair, of scores (P, 2) of policy and reference: chosen, rejected."""
    delta = delta_of(found, theirs)
    z, e = beta * delta, label_smoothing
    gains = found - theirs
    c, r = (beta * gains).unbind(1)
    if loss in ["seed", "sigmoid_norm"]:
        return -F.logsigmoid(z)
    if loss == "sigmoid":
        return -(1 - e) * F.logsigmoid(z) - e * F.logsigmoid(-z)
    if loss == "robust":
        return (-(1 - e) * F.logsigmoid(z) + e * F.logsigmoid(-z)) / (1 - 2 * e)
    if loss == "ipo":
        return (delta - 1 / (2 * beta)) ** 2
    if loss == "hinge":
        return (1 - z).clamp(min=0)
    if loss == "exo_pair":
        p, s = z.sigmoid(), F.logsigmoid(z)
        return p * (s - math.log(1 - e)) + (1 - p) * (F.logsigmoid(-z) - math.log(e))
    if loss == "discopop":
        m = (z / discopop_tau).sigmoid()
        return (1 - m) * -F.logsigmoid(z) + m * (-z).exp()
    if loss == "nca_pair":
        return -F.logsigmoid(c) - 0.5 * F.logsigmoid(-c) - 0.5 * F.logsigmoid(-r)
    if loss == "bco_pair":
        return -F.logsigmoid(c) - F.logsigmoid(-r)
    if loss == "sppo_hard":
        return (gains[:, 0] - 0.5 / beta) ** 2 + (gains[:, 1] + 0.5 / beta) ** 2
    if loss == "simpo":
        return -F.logsigmoid(beta * (found[:, 0] - found[:, 1]) - simpo_gamma)
    if loss == "orpo":
        odds = found.clamp(max=-1e-6)
        odds = odds - (-odds.expm1()).log()
        return -found[:, 0] - beta * F.logsigmoid(odds[:, 0] - odds[:, 1])
    if loss == "dpop":
        return -F.logsigmoid(z - dpop_lambda * (-c).clamp(min=0))
    if loss == "apo_zero":
        return 1 - c.sigmoid() + r.sigmoid()
    if loss == "apo_down":
        return c.sigmoid() + 1 - z.sigmoid()
    raise ValueError(loss)


def delta_of(policy, reference):
    return (policy[:, 0] - policy[:, 1]) - (reference[:, 0] - reference[:, 1])


def share(condition):
    return condition.double().mean().item()


def probe(x):
    x = x.flatten()
    return (x * torch.arange(1, len(x) + 1, dtype=torch.float64).sin()).sum().item()


def trained_names(model, recipe):
    layers = range(recipe["frozen_layers"], model.config["num_hidden_layers"])
    head = "lm_head.weight" if "lm_head.weight" in model.weights else "model.embed_tokens.weight"
    others = [
        *([head] if recipe["train_lm_head"] else []),
        *(["model.norm.weight"] if recipe["train_final_norm"] else []),
        *(["model.embed_tokens.weight"] if recipe["train_embeddings"] else []),
    ]
    return sorted(
        name
        for name in model.weights
        if name in others or any(name.startswith(f"model.layers.{layer}.") for layer in layers)
    )


def train(path, recipe, pairs, reference, held_out):
    """A variant of `expected.json`: `steps` updates from the case's model."""
    policy = Decoder(path / "model")
    before = dict(policy.weights)
    names = trained_names(policy, recipe)
    for name in names:
        policy.weights[name] = before[name].clone().requires_grad_()
    trained = {name: policy.weights[name] for name in names}
    optimizer = torch.optim.AdamW(
        trained.values(),
        lr=recipe["lr"],
        betas=tuple(recipe["betas"]),
        eps=recipe["eps"],
        weight_decay=recipe["weight_decay"],
    )
    score, size = recipe["score"], recipe["batch_size"]
    copied = recipe["tied_grad"] == "head_only"

    def batch_scores(batch):
        rows = [[policy.scores(*side, copied)[score] for side in sides(pair)] for pair in batch]
        return torch.stack([torch.stack(row) for row in rows])

    steps = []
    for step in range(recipe["steps"]):
        batch = slice(step * size, (step + 1) * size)
        found = batch_scores(pairs[batch])
        delta = delta_of(found, reference[score][batch])
        loss = pair_losses(found=found, theirs=reference[score][batch], **recipe).mean()
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: weight.grad for name, weight in trained.items()}
        norm = math.sqrt(sum(gradient.pow(2).sum().item() for gradient in gradients.values()))
        steps.append({
            "step": step + 1,
            "loss": loss.item(),
            "grad_norm": norm,
            "policy_chosen": found[:, 0].tolist(),
            "policy_rejected": found[:, 1].tolist(),
            "delta": delta.tolist(),
            "accuracy": share(delta > 0),
            "grad_norm_per_tensor": {name: g.norm().item() for name, g in gradients.items()},
        })
        if step == 0:
            steps[0]["grad_probe_per_tensor"] = {name: probe(g) for name, g in gradients.items()}
        if recipe["max_grad_norm"] is not None:
            steps[-1]["clip_factor"] = min(1.0, recipe["max_grad_norm"] / (norm + 1e-6))
            for gradient in gradients.values():
                gradient.mul_(steps[-1]["clip_factor"])
        optimizer.step()

    for name in names:
        policy.weights[name] = trained[name].detach()

    def loss_of(found, theirs):
        return pair_losses(found=found, theirs=theirs, **recipe).mean().item()

    weights_after = {}
    for name in sorted(policy.weights):
        after = policy.weights[name]
        weights_after[name] = {"mean": after.mean().item(), "l2": after.norm().item()}
        if name in trained:
            change = after - before[name]
            weights_after[name] |= {"delta_l2": change.norm().item(), "delta_probe": probe(change)}
    first = score_table(policy, pairs[:size])[score]
    variant = {
        "recipe": recipe,
        "trainable": names,
        "trainable_parameters": sum(weight.numel() for weight in trained.values()),
        "steps": steps,
        "first_batch_loss_after_training": loss_of(first, reference[score][:size]),
        "weights_after": weights_after,
    }
    if held_out is not None:
        their_pairs, theirs = held_out
        ours = score_table(policy, their_pairs)[score]
        variant["eval"] = {
            "pairs": len(their_pairs),
            **{
                name: {
                    "loss": loss_of(found, theirs[score]),
                    "raw_accuracy": share(found[:, 0] > found[:, 1]),
                    "implicit_accuracy": share(delta_of(found, theirs[score]) > 0),
                    "mean_delta": delta_of(found, theirs[score]).mean().item(),
                }
                for name, found in [("reference", theirs[score]), ("policy", ours)]
            },
            "policy_chosen": ours[:, 0].tolist(),
            "policy_rejected": ours[:, 1].tolist(),
        }
    return variant


def continue_greedily(model, prompt, new_tokens, stop=()):
    """The ids, the smallest lead of a winner, and the logits after the prompt."""
    ids, gap, first = list(prompt), math.inf, None
    with torch.no_grad():
        for _ in range(new_tokens):
            logits = model.logits(ids)[-1]
            first = logits if first is None else first
            (best, second), (winner, _) = (each.tolist() for each in logits.topk(2))
            gap = min(gap, best - second)
            ids.append(winner)
            if winner in stop:
                break
    return ids[len(prompt) :], gap, first


def generation(model, prompt, new_tokens):
    greedy, gap, logits = continue_greedily(model, prompt, new_tokens)
    values, ids = (each.tolist() for each in logits.topk(5))
    return {
        "prompt": prompt,
        "greedy": greedy,
        "smallest_gap": gap,
        "first_top5": [list(pair) for pair in zip(ids, values)],
        "first_logits_mean": logits.mean().item(),
        "first_logits_l2": logits.norm().item(),
    }


def token_bytes(directory):
    """Bytes of every token of a byte-level tokenizer, by id."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of |= {chr(256 + i): byte for i, byte in enumerate(others)}
    tokenizer = read_json(directory / "tokenizer.json")
    words = {id: bytes(byte_of[c] for c in word) for word, id in tokenizer["model"]["vocab"].items()}
    return words | {token["id"]: token["content"].encode() for token in tokenizer["added_tokens"]}


def generation_text(model, words, text, ids, new_tokens, stop=()):
    greedy, gap, _ = continue_greedily(model, ids, new_tokens, stop)
    written = b"".join(words[id] for id in greedy)
    decoded = written.decode(errors="replace")
    return {
        "text": text,
        "ids": ids,
        "greedy": greedy,
        "smallest_gap": gap,
        "decoded_hex": written.hex(),
        "decoded": decoded,
    }


def distribution(logits, temperature, top_k, top_p):
    """Ids that are kept, ascending, and their probabilities."""
    if temperature == 0:
        return [int(logits.argmax())], [1.0]
    logits = logits / temperature
    if 0 < top_k < len(logits):
        least = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < least, -math.inf)
    probabilities = logits.softmax(-1)
    if top_p < 1:
        values, order = probabilities.sort(descending=True, stable=True)
        above = values.cumsum(0) - values
        dropped = above >= top_p
        dropped[0] = False
        probabilities = probabilities.index_fill(0, order[dropped], 0)
    kept = (probabilities > 0).nonzero()[:, 0]
    return kept.tolist(), (probabilities[kept] / probabilities.sum()).tolist()


def next_token(model, words, text, ids, temperature, top_k, top_p):
    with torch.no_grad():
        kept, probs = distribution(model.logits(ids)[-1], temperature, top_k, top_p)
    decoded = [words[id].decode(errors="replace") for id in kept]
    return {"text": text, "kept": kept, "probs": probs, "decoded": decoded}


def make(name):
    """A case's `expected.json`."""
    path = HERE / name
    case, pairs = read_json(path / "case.json"), read_lines(path / "pairs.jsonl")
    policy = Decoder(path / "model")
    other = path / "reference_model"
    reference = Decoder(other) if other.exists() else policy
    tables = {"policy": score_table(policy, pairs)}
    tables["reference"] = score_table(reference, pairs) if other.exists() else tables["policy"]
    names = ["mean_all", "sum_all", "sum_completion", "mean_completion"]
    scores = [
        {
            model: {
                side: {score: table[score][i, j].item() for score in names}
                for j, side in enumerate(["chosen", "rejected"])
            }
            for model, table in tables.items()
        }
        for i in range(len(pairs))
    ]
    first = case["variants"][0]["batch_size"]
    losses = []
    for loss in LOSSES:
        table = [tables[model][loss["score"]][:first] for model in ["policy", "reference"]]
        per_pair = pair_losses(found=table[0], theirs=table[1], **loss)
        losses.append({
            **loss,
            "pairs": first,
            "mean": per_pair.mean().item(),
            "per_pair": per_pair.tolist(),
        })
    held_out = None
    if (path / "eval.jsonl").exists():
        their_pairs = read_lines(path / "eval.jsonl")
        held_out = their_pairs, score_table(reference, their_pairs)
    expected = {
        "parameters": sum(weight.numel() for weight in policy.weights.values()),
        "scores": scores,
        "losses": losses,
        "variants": [train(path, recipe, pairs, tables["reference"], held_out) for recipe in case["variants"]],
        "generation": [generation(policy, **question) for question in case["generation"]],
    }
    for kind, answer in [("generation_text", generation_text), ("next_token", next_token)]:
        if kind in case:
            words = token_bytes(path / "model")
            expected[kind] = [answer(policy, words, **question) for question in case[kind]]
    return expected


def make_sampling(path):
    """The lines of `sampling.jsonl`, with `kept` and `probs` made again from the rest."""
    lines = []
    for case in read_lines(path):
        settings = {name: case[name] for name in ["temperature", "top_k", "top_p"]}
        kept, probs = distribution(torch.tensor(case["logits"], dtype=torch.float64), **settings)
        lines.append({"logits": case["logits"], **settings, "kept": kept, "probs": probs})
    return lines


def differences(found, expected, where="", key=""):
    """Where two answers differ by more than rounding, in words."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if found.keys() != expected.keys():
            yield f"{where}: expected {sorted(expected)}, found {sorted(found)}"
            return
        for name, value in expected.items():
            tie = TIES.get(name)
            if tie in expected and torch.tensor(expected[tie]).abs().max() < 1e-12:
                continue
            yield from differences(found[name], value, f"{where}.{name}", name)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            yield f"{where}: expected {len(expected)} items, found {len(found)}"
            return
        for i, value in enumerate(expected):
            yield from differences(found[i], value, f"{where}[{i}]", key)
    elif isinstance(expected, float):
        allowed = (1e-6 if key in ROUNDED else TOLERANCE) * (1 + abs(expected))
        if not abs(found - expected) <= allowed:
            yield f"{where}: expected {expected}, found {found}"
    elif found != expected:
        yield f"{where}: expected {expected!r}, found {found!r}"


def keeping(found, expected):
    """The answer found, with the digits of the expected one where they differ by rounding alone: a diff shows what is new."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: keeping(value, expected.get(name)) for name, value in found.items()}
    if isinstance(expected, list) and isinstance(found, list):
        return [keeping(*both) for both in zip(found, expected)] + found[len(expected) :]
    return found if any(differences(found, expected)) else expected


def count(value):
    """Numbers in an answer."""
    if isinstance(value, (dict, list)):
        return sum(map(count, value.values() if isinstance(value, dict) else value))
    return 1


def main(words):
    write = "--write" in words
    chosen = [word for word in words if word != "--write"] or [*CASES, "sampling"]
    unknown = [name for name in chosen if name not in [*CASES, "sampling"]]
    if unknown:
        sys.exit(f"Expected cases of {', '.join(CASES)} and sampling, found {', '.join(unknown)}")
    failed = False
    for name in chosen:
        sampling = name == "sampling"
        path = HERE / name / ("sampling.jsonl" if sampling else "expected.json")
        found = make_sampling(path) if sampling else make(name)
        expected = (read_lines(path) if sampling else read_json(path)) if path.exists() else None
        if write:
            found = keeping(found, expected)
            text = "\n".join(map(json.dumps, found)) if sampling else json.dumps(found, indent=1)
            path.write_text(f"{text}\n")
            print(f"{name}: wrote {count(found)} values")
            continue
        different = list(differences(found, expected, name))
        print("\n".join([*different[:20], f"{name}: {count(found)} values, {len(different)} different"]))
        failed = failed or bool(different)
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1:])

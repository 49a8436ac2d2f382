"""The peers of `bench --suite peers`: numpy's matrix product and a DPO step in eager PyTorch, asked by JSON lines on stdin.

Everything as a PyTorch user would write it: chosen and rejected in one padded batch, a frozen reference model that is run
in every step, AdamW. The model is the shipped one, from its directory.
"""
import json
import os
import sys
import time

# An older OpenBLAS than numpy's may need these to work at all; numpy's is slowed by them.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

MISSING = 3
try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(MISSING)

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def blas():
    """The library that multiplies for numpy, as far as the system tells."""
    np.ones((64, 64), np.float32) @ np.ones((64, 64), np.float32)
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps}
    except OSError:
        return None
    names = sorted(path for path in paths if "blas" in path.lower() and ".so" in path)
    return next((path for path in names if "openblas" in path.lower()), names[0] if names else None)


class Product:
    """y = x wᵀ at f32."""

    def __init__(self, rows, outputs, inputs):
        random = np.random.default_rng(1)
        self.x = random.random((rows, inputs), np.float32) - 0.5
        self.w = random.random((outputs, inputs), np.float32) - 0.5
        y, exact = self.x @ self.w.T, self.x[0].astype(np.float64) @ self.w[-1].astype(np.float64)
        if abs(y[0, -1] - exact) > 1e-3:
            raise SystemExit(f"numpy's product is wrong, so its speed means nothing: {y[0, -1]} for {exact}")

    def milliseconds(self):
        """Of one, over at least 50 ms; the first one does not count."""
        count, passed = 0, -1
        while passed < 0.05:
            self.x @ self.w.T
            if passed < 0:
                began, passed = time.perf_counter(), 0
            else:
                count, passed = count + 1, time.perf_counter() - began
        return 1e3 * passed / count


def read_weights(directory):
    """The tensors of a safetensors file of f32 weights."""
    with open(os.path.join(directory, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(bytearray(data[slice(*entry["data_offsets"])]), dtype=torch.float32).view(entry["shape"])
        for name, entry in header.items()
    }


class Llama:
    """A Llama with a tied head; its weights are leaves of autograd where it is to be trained."""

    def __init__(self, directory, trained):
        with open(os.path.join(directory, "config.json")) as file:
            self.config = json.load(file)
        self.w = {name: tensor.clone().requires_grad_(trained) for name, tensor in read_weights(directory).items()}
        size = self.config["head_dim"]
        frequencies = self.config["rope_theta"] ** (-torch.arange(0, size, 2) / size)
        angles = torch.arange(self.config["max_position_embeddings"])[:, None] * frequencies
        self.cos, self.sin = (torch.cat((f(angles), f(angles)), 1) for f in (torch.cos, torch.sin))

    def norm(self, x, name):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return self.w[name] * (x * scale)

    def rotate(self, x):
        length, half = x.shape[2], x.shape[3] // 2
        turned = torch.cat((-x[..., half:], x[..., :half]), -1)
        return x * self.cos[:length] + turned * self.sin[:length]

    def attention(self, x, layer):
        batch, length, _ = x.shape
        heads, kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]

        def project(name, count):
            return F.linear(x, self.w[f"{layer}{name}_proj.weight"]).view(batch, length, count, -1).transpose(1, 2)

        q, k = self.rotate(project("q", heads)), self.rotate(project("k", kv_heads))
        k, v = (y.repeat_interleave(heads // kv_heads, 1) for y in (k, project("v", kv_heads)))
        if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).masked_fill(future, float("-inf"))
            y = scores.softmax(-1) @ v
        return F.linear(y.transpose(1, 2).reshape(batch, length, -1), self.w[f"{layer}o_proj.weight"])

    def logits(self, ids):
        x = F.embedding(ids, self.w["model.embed_tokens.weight"])
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            x = x + self.attention(self.norm(x, f"{layer}input_layernorm.weight"), f"{layer}self_attn.")
            y = self.norm(x, f"{layer}post_attention_layernorm.weight")
            gate, up = (F.linear(y, self.w[f"{layer}mlp.{name}_proj.weight"]) for name in ("gate", "up"))
            x = x + F.linear(F.silu(gate) * up, self.w[f"{layer}mlp.down_proj.weight"])
        return F.linear(self.norm(x, "model.norm.weight"), self.w["model.embed_tokens.weight"])


class DpoStep:
    """A step over pairs: sigmoid loss over sums of the completions' log-probabilities, gradients clipped to norm 1."""

    def __init__(self, model, pairs, beta, learning_rate):
        self.policy, self.reference, self.beta = Llama(model, True), Llama(model, False), beta
        sequences = [pair[side] for side in ("chosen", "rejected") for pair in pairs]
        width = max(len(sequence["ids"]) for sequence in sequences)
        # On the right, where a causal model's padding bears on nothing that counts.
        self.ids = torch.tensor([s["ids"] + [0] * (width - len(s["ids"])) for s in sequences])
        at = torch.arange(1, width)
        self.counts = torch.stack([(at >= s["promptLength"]) & (at < len(s["ids"])) for s in sequences])
        self.optimizer = torch.optim.AdamW(list(self.policy.w.values()), lr=learning_rate, weight_decay=0)

    def scores(self, model):
        logprobs = model.logits(self.ids)[:, :-1].log_softmax(-1)
        tokens = logprobs.gather(2, self.ids[:, 1:, None])[..., 0]
        return (tokens * self.counts).sum(1)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            reference = self.scores(self.reference)
        chosen, rejected = (self.scores(self.policy) - reference).chunk(2)
        loss = -F.logsigmoid(self.beta * (chosen - rejected)).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.policy.w.values()), 1)
        self.optimizer.step()
        return loss.item(), norm.item()

    def steps(self, count):
        """One step that does not count, and those that do."""
        first = self.step()
        began = time.perf_counter()
        done = [self.step() for _ in range(count)]
        milliseconds = 1e3 * (time.perf_counter() - began) / count
        losses, norms = zip(first, *done)
        return {"milliseconds": milliseconds, "losses": losses, "norms": norms}


def say(answer):
    print(json.dumps(answer), flush=True)


say({"numpy": np.__version__, "blas": blas(), "torch": torch.__version__, "threads": torch.get_num_threads()})
product = step = None
for line in sys.stdin:
    ask = json.loads(line)
    what = ask.pop("what")
    if what == "product":
        product = Product(**ask)
        say({})
    elif what == "multiply":
        say({"milliseconds": product.milliseconds()})
    elif what == "training":
        step = DpoStep(**ask)
        say({})
    elif what == "steps":
        say(step.steps(**ask))

"""Says what PEFT makes of an adapter, and makes one.

Reads {"base", "adapter", "write", "config", "sequences"} from stdin. Writes to stdout, as JSON: the logits of every position of
the token sequences with the adapter, and every matrix's gradient of the next-token loss of the last one, in float64; then the
logits with an adapter of its own, which it saves in "write": of LoraConfig(**config), with a B that is not zero. See
transformers_peer.py for the libraries.
"""

import json
import sys

import peft
import torch
import transformers


def logits(model, sequences):
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].tolist() for ids in sequences]


transformers.logging.set_verbosity_error()
request = json.load(sys.stdin)
sequences = request["sequences"]


def base():
    return transformers.AutoModelForCausalLM.from_pretrained(request["base"]).float().eval()


theirs = peft.PeftModel.from_pretrained(base(), request["adapter"], is_trainable=True).eval()
loaded = logits(theirs, sequences)
ids = torch.tensor([sequences[-1]])
theirs.double()(ids, labels=ids).loss.backward()
gradients = {
    name.replace(".default.", "."): p.grad.flatten().tolist()
    for name, p in theirs.named_parameters()
    if p.requires_grad
}

torch.manual_seed(0)
ours = peft.get_peft_model(base(), peft.LoraConfig(task_type="CAUSAL_LM", **request["config"])).eval()
for name, p in ours.named_parameters():
    if "lora_B" in name:
        p.data.normal_(0, 0.1)
ours.save_pretrained(request["write"])
versions = {"torch": torch.__version__, "peft": peft.__version__}
answer = {"loaded": loaded, "gradients": gradients, "made": logits(ours, sequences)}
json.dump({"versions": versions, **answer}, sys.stdout)

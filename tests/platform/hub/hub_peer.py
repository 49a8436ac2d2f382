"""Says what Python's huggingface_hub makes of a cache that was filled by this project.

Reads {"model", "dataset"} from stdin and writes, as JSON, the files of both repositories as it finds them without network,
the warnings of its scan of the cache, and the folder that it fills itself with the model when it is given HF_ENDPOINT.
Exits with 3 if the library is missing. `pip install huggingface_hub` brings it; transformers does too.
"""

import json
import os
import sys

import huggingface_hub

request = json.load(sys.stdin)
answer = {"version": huggingface_hub.__version__}
if request.get("fetch"):
    answer["fetched"] = huggingface_hub.snapshot_download(request["fetch"])
else:
    scan = huggingface_hub.scan_cache_dir()
    answer["warnings"] = [str(warning) for warning in scan.warnings]
    answer["repos"] = sorted(repo.repo_id for repo in scan.repos)
    for kind in ["model", "dataset"]:
        folder = huggingface_hub.snapshot_download(
            request[kind], repo_type=kind, local_files_only=True
        )
        answer[kind] = {
            os.path.relpath(os.path.join(parent, name), folder): open(os.path.join(parent, name), encoding="utf-8").read()
            for parent, _, names in os.walk(folder)
            for name in names
        }
json.dump(answer, sys.stdout)

"""What TensorBoard finds in a run directory, for tests/e2e/tensorboard_test.ts."""
import json
import sys

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

request = json.load(sys.stdin)
found = EventAccumulator(request["directory"], size_guidance={"scalars": 0})
found.Reload()
scalars = {
    tag: [[event.step, event.value] for event in found.Scalars(tag)]
    for tag in found.Tags()["scalars"]
}
print(json.dumps({"version": tensorboard.__version__, "scalars": scalars}))

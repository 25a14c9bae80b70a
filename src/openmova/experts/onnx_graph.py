"""Names the tensors inside an ONNX graph, cuts a graph off after some of them, reads its weights.

An ONNX file is a protocol buffer: a sequence of (key, length, bytes). The few fields needed here
are read and written directly, so the `onnx` package is not needed. Field numbers: onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_WEIGHT, GRAPH_OUTPUT = 1, 5, 12
NODE_INPUT, NODE_OUTPUT, NODE_ATTRIBUTE = 1, 2, 5
ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 6, 11
VALUE_NAME = 1
TENSOR_DIMS, TENSOR_KIND, TENSOR_NAME, TENSOR_BYTES = 1, 2, 8, 9
FLOAT = 1

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Lengths of the kinds of numbers that have one."""


class Field(NamedTuple):
    number: int
    value: memoryview
    """Its bytes, without key and length."""
    whole: memoryview
    """The same with key and length."""


class Node(NamedTuple):
    inputs: list[str]
    outputs: list[str]
    has_graph: bool
    """A loop or a branch: the graph inside may use tensors that are not its inputs."""
    whole: memoryview


def tensor_names(model: bytes) -> list[str]:
    """Every tensor that a node of the graph computes, in the order of the file.

    Raises ValueError if the bytes are no ONNX model.
    """
    return [name for node in _nodes(_graph(model)) for name in node.outputs if name]


def cut_after(model: bytes, *tensors: str) -> bytes:
    """The same model with these tensors as its outputs, and only the nodes that they depend on.

    A graph with loops or branches keeps all its nodes. Raises ValueError if the bytes are no ONNX
    model, or it has no such tensor.
    """
    graph = _graph(model)
    nodes = _nodes(graph)
    for tensor in tensors:
        if not any(tensor in node.outputs for node in nodes):
            raise ValueError(f"no node computes {tensor!r}")
    kept = nodes if any(node.has_graph for node in nodes) else _ancestors(nodes, tensors)
    parts = [node.whole for node in kept]
    parts += [f.whole for f in _fields(graph) if f.number not in (GRAPH_NODE, GRAPH_OUTPUT)]
    for tensor in tensors:
        parts.append(memoryview(_field(GRAPH_OUTPUT, _field(VALUE_NAME, tensor.encode()))))
    others = [f.whole for f in _fields(memoryview(model)) if f.number != MODEL_GRAPH]
    return b"".join([*others, _field(MODEL_GRAPH, b"".join(parts))])


def weight(model: bytes, name: str) -> NDArray[np.float32]:
    """A float32 weight of the graph. Raises ValueError if it has none of that name and kind."""
    for field in _fields(_graph(model)):
        if field.number != GRAPH_WEIGHT:
            continue
        parts = list(_fields(field.value))
        by_number = {part.number: part.value for part in parts}
        if bytes(by_number[TENSOR_NAME]) != name.encode():
            continue
        kind, _ = _read_varint(by_number[TENSOR_KIND], 0)
        if kind == FLOAT and TENSOR_BYTES in by_number:
            shape = [
                n for part in parts if part.number == TENSOR_DIMS for n in _varints(part.value)
            ]
            return np.frombuffer(by_number[TENSOR_BYTES], "<f4").reshape(shape)
    raise ValueError(f"no float32 weight is called {name!r}")


def _ancestors(nodes: list[Node], tensors: Collection[str]) -> list[Node]:
    needed, kept = set(tensors), []
    for node in reversed(nodes):  # nodes are stored in the order in which they run
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _graph(model: bytes) -> memoryview:
    graphs = [field.value for field in _fields(memoryview(model)) if field.number == MODEL_GRAPH]
    if len(graphs) != 1:
        raise ValueError("these bytes are no ONNX model")
    return graphs[0]


def _nodes(graph: memoryview) -> list[Node]:
    return [_node(field) for field in _fields(graph) if field.number == GRAPH_NODE]


def _node(field: Field) -> Node:
    inputs, outputs, has_graph = [], [], False
    for part in _fields(field.value):
        if part.number == NODE_INPUT:
            inputs.append(str(part.value, "utf-8"))
        elif part.number == NODE_OUTPUT:
            outputs.append(str(part.value, "utf-8"))
        elif part.number == NODE_ATTRIBUTE:
            numbers = {attribute.number for attribute in _fields(part.value)}
            has_graph = has_graph or not numbers.isdisjoint((ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS))
    return Node(inputs, outputs, has_graph, field.whole)


def _fields(message: memoryview) -> Iterator[Field]:
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        value = position
        kind = key & 7
        if kind == _VARINT:
            _, position = _read_varint(message, position)
        elif kind == _BYTES:
            length, value = _read_varint(message, position)
            position = value + length
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            raise ValueError("these bytes are no ONNX model")
        if position > len(message):
            raise ValueError("these bytes are no ONNX model, or it is cut short")
        yield Field(key >> 3, message[value:position], message[start:position])


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
    raise ValueError("these bytes are no ONNX model, or it is cut short")


def _varints(message: memoryview) -> Iterator[int]:
    position = 0
    while position < len(message):
        value, position = _read_varint(message, position)
        yield value


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])

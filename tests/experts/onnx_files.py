"""Writes a tiny ONNX file, field by field (onnx.proto3), as no test should need the onnx package.

The graph, for a picture x [N, 3, 32, 32]:
x -> AveragePool -> pooled [N, 3, 4, 4] -> Relu -> relu -> Concat(pooled, relu) -> both [N, 6, 4, 4]
pooled -> Reshape -> flat [N, 3, 16] -> Transpose -> tokens [N, 16, 3]
both -> GlobalAveragePool -> out [N, 6, 1, 1], the declared output.
"""

from __future__ import annotations

Value = int | str | bytes

FLOAT, INT64 = 1, 7
INT_ATTRIBUTE, INTS_ATTRIBUTE = 2, 7


def message(*fields: tuple[int, Value]) -> bytes:
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def ints(name: str, *values: int) -> tuple[int, bytes]:
    """A node's attribute that is a list of integers."""
    return 5, message((1, name), *((8, value) for value in values), (20, INTS_ATTRIBUTE))


def node(op: str, inputs: list[str], output: str, *attributes: tuple[int, bytes]) -> bytes:
    return message(*((1, name) for name in inputs), (2, output), (4, op), *attributes)


def tensor_info(name: str, shape: list[int | str], kind: int = FLOAT) -> bytes:
    dims = [(1, message((1 if isinstance(side, int) else 2, side))) for side in shape]
    return message((1, name), (2, message((1, message((1, kind), (2, message(*dims)))))))


def tiny_graph(
    batch: int | str = "N", side: int | str = 32, channels: int = 3, kind: int = FLOAT
) -> bytes:
    axis = (5, message((1, "axis"), (3, 1), (20, INT_ATTRIBUTE)))
    shape = message((1, 3), (2, INT64), *((7, value) for value in (0, 3, -1)), (8, "shape"))
    nodes = [
        node("AveragePool", ["x"], "pooled", ints("kernel_shape", 8, 8), ints("strides", 8, 8)),
        node("Relu", ["pooled"], "relu"),
        node("Concat", ["pooled", "relu"], "both", axis),
        node("Reshape", ["pooled", "shape"], "flat"),
        node("Transpose", ["flat"], "tokens", ints("perm", 0, 2, 1)),
        node("GlobalAveragePool", ["both"], "out"),
    ]
    graph = message(
        *((1, one) for one in nodes),
        (2, "tiny"),
        (5, shape),
        (11, tensor_info("x", [batch, channels, side, side], kind)),
        (12, tensor_info("out", [batch, 6, 1, 1])),
    )
    return message((1, 8), (7, graph), (8, message((1, ""), (2, 13))))

"""A tiny ONNX graph.

For a picture x [N, 3, 32, 32]:
x -> AveragePool -> pooled [N, 3, 4, 4] -> Relu -> relu -> Concat(pooled, relu) -> both [N, 6, 4, 4]
pooled -> Reshape -> flat [N, 3, 16] -> Transpose -> tokens [N, 16, 3]
both -> GlobalAveragePool -> out [N, 6, 1, 1], the declared output.
"""

from __future__ import annotations

from onnx import TensorProto, helper


def tiny_graph(
    batch: int | str = "N",
    side: int | str = 32,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
) -> bytes:
    nodes = [
        helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Relu", ["pooled"], ["relu"]),
        helper.make_node("Concat", ["pooled", "relu"], ["both"], axis=1),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("GlobalAveragePool", ["both"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, [batch, channels, side, side])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 6, 1, 1])],
        [helper.make_tensor("shape", TensorProto.INT64, [3], [0, 3, -1])],
    )
    opset = helper.make_opsetid("", 13)
    return helper.make_model(graph, ir_version=8, opset_imports=[opset]).SerializeToString()

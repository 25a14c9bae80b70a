"""Cutting a graph: what an output needs stays, all else goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from openmova.experts.onnx_graph import cut_after, tensor_names, weight

from .onnx_files import tiny_graph


@pytest.mark.parametrize(
    ("tensors", "names"),
    [
        (["tokens"], ["pooled", "flat", "tokens"]),
        (["pooled"], ["pooled"]),
        (["out"], ["pooled", "relu", "both", "out"]),
        (["relu", "flat"], ["pooled", "relu", "flat"]),
    ],
)
def test_a_cut_graph_has_only_what_the_tensors_need(tensors: list[str], names: list[str]) -> None:
    assert tensor_names(tiny_graph()) == ["pooled", "relu", "both", "flat", "tokens", "out"]
    assert tensor_names(cut_after(tiny_graph(), *tensors)) == names


def test_a_graph_with_a_branch_keeps_everything() -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["before"], ["inner"])], "inner", [], [])
    nodes = [
        helper.make_node("Relu", ["x"], ["before"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner),
    ]
    model = helper.make_model(helper.make_graph(nodes, "outer", [], [])).SerializeToString()
    assert tensor_names(cut_after(model, "y")) == ["before", "y"]


def test_a_weight_is_read_by_its_name() -> None:
    numbers = np.arange(600, dtype="<f4").reshape(300, 2)
    tensors = [numpy_helper.from_array(numbers, "linear"), numpy_helper.from_array(numbers[0], "b")]
    graph = helper.make_graph([], "weights", [], [], tensors)
    model = helper.make_model(graph).SerializeToString()
    assert np.array_equal(weight(model, "linear"), numbers)
    with pytest.raises(ValueError, match="the graph has no weight 'linea'"):
        weight(model, "linea")


@given(st.binary() | st.integers(0, len(tiny_graph()) - 1).map(lambda end: tiny_graph()[:end]))
def test_bytes_that_are_no_model_raise_nothing_but_a_value_error(model: bytes) -> None:
    try:
        tensor_names(model)
    except ValueError:
        return

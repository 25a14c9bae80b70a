"""Reading and cutting a graph without the onnx package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.experts.onnx_graph import cut_after, tensor_names, weight

from .onnx_files import INT_ATTRIBUTE, message, node, tiny_graph


def test_a_graph_names_its_tensors() -> None:
    assert tensor_names(tiny_graph()) == ["pooled", "relu", "both", "flat", "tokens", "out"]


def test_a_cut_graph_has_only_what_the_tensor_needs() -> None:
    assert tensor_names(cut_after(tiny_graph(), "tokens")) == ["pooled", "flat", "tokens"]
    assert tensor_names(cut_after(tiny_graph(), "pooled")) == ["pooled"]
    assert tensor_names(cut_after(tiny_graph(), "out")) == ["pooled", "relu", "both", "out"]


def test_a_graph_with_a_branch_keeps_everything() -> None:
    inner = message((1, node("Relu", ["before"], "inner")))
    branch = (5, message((1, "then_branch"), (6, inner), (20, INT_ATTRIBUTE)))
    nodes = [node("Relu", ["x"], "before"), node("If", ["flag"], "y", branch)]
    model = message((7, message(*((1, one) for one in nodes))))
    assert tensor_names(cut_after(model, "y")) == ["before", "y"]


def test_a_graph_is_cut_after_several_tensors() -> None:
    assert tensor_names(cut_after(tiny_graph(), "relu", "flat")) == ["pooled", "relu", "flat"]


@pytest.mark.parametrize("packed", [True, False])
def test_a_weight_is_read_by_its_name(packed: bool) -> None:
    numbers = np.arange(600, dtype="<f4").reshape(300, 2)
    dims = [(1, b"\xac\x02\x02")] if packed else [(1, 300), (1, 2)]
    wanted = message(*dims, (2, 1), (8, "linear"), (9, numbers.tobytes()))
    other = message((1, 1), (2, 1), (8, "other"), (9, b"\0\0\0\0"))
    integers = message((1, 1), (2, 7), (8, "integers"), (9, b"\0" * 8))
    model = message((7, message((5, other), (5, wanted), (5, integers))))
    assert np.array_equal(weight(model, "linear"), numbers)
    for name in ("linea", "integers"):
        with pytest.raises(ValueError, match=f"no float32 weight is called '{name}'"):
            weight(model, name)


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match="no node computes 'nothing'"):
        cut_after(tiny_graph(), "nothing")


@given(st.binary() | st.integers(0, len(tiny_graph()) - 1).map(lambda end: tiny_graph()[:end]))
def test_bytes_that_are_no_model_raise_nothing_but_a_value_error(model: bytes) -> None:
    try:
        tensor_names(model)
    except ValueError:
        return

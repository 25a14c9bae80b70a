"""Products that are faster on a processor say what torch's say."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.fast_linear import (
    Bfloat16Linear,
    SingleRowLinear,
    multiplies_in_bfloat16,
    multiply_in_bfloat16,
    quicken_single_rows,
)
from openmova.inference.mova import Mova
from openmova.model.layers import adds_nothing
from tiny import pictures


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(12,), (1, 12), (1, 1, 12), (2, 12), (1, 3, 12)])
def test_a_product_is_what_it_was(shape: tuple[int, ...], bias: bool) -> None:
    layer = nn.Linear(12, 10, bias=bias)
    given = torch.randn(shape, requires_grad=True)
    expected = layer(given)
    (gradient,) = torch.autograd.grad(expected.square().sum(), given)
    quicken_single_rows(layer)
    assert type(layer) is SingleRowLinear
    found = layer(given)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), given)[0], gradient)


def test_what_is_not_quicker_stays() -> None:
    for layer in (nn.Linear(4, 3), nn.Linear(4, 2, dtype=torch.bfloat16), nn.Bilinear(2, 2, 2)):
        before = type(layer)
        quicken_single_rows(layer)
        assert type(layer) is before


in_bfloat16 = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16", False),
    reason="the processor does not multiply in bfloat16",
)


@pytest.mark.parametrize(
    ("has", "fast"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_products_are_in_bfloat16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, object], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert multiplies_in_bfloat16() == fast


@in_bfloat16
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(12,), (1, 12), (2, 12), (1, 9, 12)])
def test_a_product_in_bfloat16_is_that_of_what_it_rounds(
    shape: tuple[int, ...], bias: bool
) -> None:
    layer = nn.Linear(12, 9, bias=bias).requires_grad_(False)
    given = torch.randn(shape)
    expected = given.bfloat16().float() @ layer.weight.bfloat16().float().T
    if bias:
        expected += layer.bias
    multiply_in_bfloat16(layer)
    assert type(layer) is Bfloat16Linear
    torch.testing.assert_close(layer(given), expected, atol=1e-2, rtol=2**-8)


@in_bfloat16
def test_a_row_in_bfloat16_does_not_depend_on_those_beside_it() -> None:
    layer = nn.Linear(576, 192).requires_grad_(False)
    multiply_in_bfloat16(layer)
    rows = torch.randn(300, 576)
    together = layer(rows)
    for count in (1, 2, 5, 16, 64):
        assert torch.equal(layer(rows[:count]), together[:count])


@in_bfloat16
def test_rounded_weights_are_not_saved() -> None:
    layer = nn.Linear(4, 4)
    multiply_in_bfloat16(layer)
    with pytest.raises(RuntimeError, match='load it with dtype="float32"'):
        layer.state_dict()


def test_a_model_writes_what_it_wrote() -> None:
    model, processor = tiny_mova()
    options = {"max_new_tokens": 8, "do_sample": False, "output_logits": True}
    inputs = processor(images=pictures(1), questions=["how many dogs?"], return_tensors="pt")
    expected, found = (
        m.generate(**inputs, **options, return_dict_in_generate=True)
        for m in (model, Mova(copy.deepcopy(model), processor).model)
    )
    assert torch.equal(found.sequences, expected.sequences)
    torch.testing.assert_close(found.logits, expected.logits)


@in_bfloat16
def test_a_layer_of_zeros_stays_so_that_its_branch_can_be_left_out() -> None:
    layer = nn.Linear(12, 9)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    multiply_in_bfloat16(layer)
    assert type(layer) is nn.Linear
    nn.init.ones_(layer.weight)
    multiply_in_bfloat16(layer)
    assert type(layer) is Bfloat16Linear
    with torch.no_grad():
        assert not adds_nothing(layer)

"""A single row is multiplied in halves of the weight, and says what it said."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova
from openmova.inference.single_row import SingleRowLinear, quicken_single_rows
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

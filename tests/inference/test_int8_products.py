"""Products in 8 bits: near float32's, the same for a row in any company, never forced on anyone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from openmova import Mova
from openmova.inference import int8_products
from openmova.inference.int8_products import Int8Linear, pack, turn, why_not
from tiny import pictures

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def quick(layer: nn.Linear) -> Int8Linear:
    found = copy.deepcopy(layer)
    found.__class__, found.packed = Int8Linear, pack(layer.weight.detach())
    assert isinstance(found, Int8Linear)
    return found


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", [7, 24, 576])
@torch.no_grad()
def test_a_product_is_nearly_what_it_was(width: int, bias: bool) -> None:
    layer = nn.Linear(width, 40, bias=bias)
    given = torch.randn(3, 5, width)
    given[0, 0] = 0
    given[..., 1] *= 20  # a channel that stands out
    expected, found = layer(given), quick(layer)(given)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.03 * expected.norm()
    torch.testing.assert_close(found[0, 0], expected[0, 0])


@torch.no_grad()
def test_a_row_gives_the_same_in_any_company() -> None:
    layer, given = quick(nn.Linear(64, 40)), torch.randn(6, 64) * torch.arange(1, 7)[:, None]
    together = layer(given)
    for row, expected in zip(given, together, strict=True):
        assert torch.equal(layer(row), expected)


def test_turned_rows_have_the_same_products() -> None:
    for width in (1, 7, 24, 192):
        a, b = torch.randn(2, width), torch.randn(3, width)
        torch.testing.assert_close(turn(a) @ turn(b).T, a @ b.T)


def test_gradients_are_those_of_float32() -> None:
    layer, given = nn.Linear(64, 40), torch.randn(2, 64, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(given).sum(), given)
    assert torch.equal(torch.autograd.grad(quick(layer)(given).sum(), given)[0], expected)


def test_a_loaded_model_works_so_unless_float32_is_asked_for(
    tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_products, "LEAST_WEIGHTS", 1)
    exact = Mova.from_pretrained(tiny_folder, device="cpu", dtype="float32")
    fast = Mova.from_pretrained(tiny_folder, device="cpu")
    kinds = [
        {type(part) for part in parts.modules() if isinstance(part, nn.Linear)}
        for parts in (fast.model.model.language_model, fast.model.model.gate_text_encoder)
    ]
    assert kinds == [{Int8Linear}, {nn.Linear}]
    assert isinstance(fast.model.lm_head, Int8Linear)
    assert not any(isinstance(part, Int8Linear) for part in exact.model.modules())
    (picture,) = pictures(1)
    a, b = (m.ask(picture, "what is this ?", experts="all") for m in (exact, fast))
    assert a.gates is not None and b.gates is not None
    torch.testing.assert_close(b.gates, a.gates, atol=0.1, rtol=0.1)
    fast.model.save_pretrained(tmp_path)
    for name, weight in exact.model.state_dict().items():
        assert torch.equal(fast.model.state_dict()[name], weight)


def test_small_layers_stay_as_they_are(tiny_folder: str) -> None:
    loaded = Mova.from_pretrained(tiny_folder, device="cpu")
    assert not any(isinstance(part, Int8Linear) for part in loaded.model.modules())

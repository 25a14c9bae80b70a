"""Without numbers, a computation costs and holds what it would with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from openmova.runtime.fake_run import PeakMemory, operations, replace_by_fakes

B, IN, MIDDLE, OUT = 8, 100, 400, 10


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(IN, MIDDLE, bias=False), nn.ReLU(), nn.Linear(MIDDLE, OUT))


@pytest.mark.parametrize("learns", [True, False])
def test_a_multiply_add_is_two_operations_and_a_gradient_twice_as_much(learns: bool) -> None:
    layers = net().requires_grad_(learns)
    with FakeTensorMode():
        replace_by_fakes([layers])
        ahead, back, _ = operations(lambda: layers(torch.empty(B, IN)))
    assert ahead == 2 * B * MIDDLE * (IN + OUT)
    assert back == learns * 2 * B * MIDDLE * (IN + 2 * OUT)  # the input needs no gradient


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_counted_whole(causal: bool) -> None:
    heads, tokens, width = 4, 50, 16
    with FakeTensorMode():
        q = torch.empty(B, heads, tokens, width, requires_grad=True)
        attend = F.scaled_dot_product_attention
        ahead, back, _ = operations(lambda: attend(q, q, q, is_causal=causal))
    assert ahead == 2 * 2 * B * heads * tokens**2 * width
    assert back == 2.5 * ahead  # the probabilities are not kept, so they are computed again


def test_a_convolution_in_groups_costs_its_part() -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    with FakeTensorMode():
        replace_by_fakes([layer])
        x = torch.empty(1, 8, 10, 10, requires_grad=True)
        ahead, back, _ = operations(lambda: layer(x))
    assert ahead == 2 * 8 * 100 * 9
    assert back == 2 * ahead


def test_the_peak_is_what_is_alive_at_once() -> None:
    def step(layers: nn.Sequential) -> tuple[int, int]:
        x = torch.ones(B, IN)
        known: list[Tensor] = [x, *layers.parameters()]
        with PeakMemory(known) as memory:
            loss = layers(x).sum()
            kept = memory.live
            loss.backward()
        return kept, memory.peak

    real = net()
    kept, peak = step(real)
    assert kept == 4 * (B * MIDDLE + 1)  # the result of ReLU, and the sum
    assert peak > kept
    fake = net()
    with FakeTensorMode():
        replace_by_fakes([fake])
        assert step(fake) == (kept, peak)


def test_what_is_shared_stays_shared() -> None:
    one, two = nn.Linear(3, 3), nn.Linear(3, 3)
    two.weight = one.weight
    one.bias.requires_grad_(False)
    with FakeTensorMode():
        replace_by_fakes([one, two, one])
    assert two.weight is one.weight
    assert one.weight.requires_grad and not one.bias.requires_grad

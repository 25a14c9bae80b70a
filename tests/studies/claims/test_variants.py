"""The visual sides differ in which encoders enter and how, and in nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nano_shaped import random_encoded
from openmova.checkpoints.nano_spec import EXPERTS
from studies.claims.training import built
from studies.claims.variants import BASE, VARIANTS, Fused, UniformGate
from studies.toy.align import Encoded

ROWS = torch.tensor([1, 3])
ONE = torch.tensor([[True, False, False, False]] * 2)
TWO = torch.tensor([[True, True, False, False]] * 2)
EVERYBODY = torch.ones(2, 4, dtype=torch.bool)
TEXT = torch.randn(2, 384, generator=torch.Generator().manual_seed(0))


def awake(name: str) -> nn.Module:
    """The variant with weights also where its training starts at zero."""
    model = built(name, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.eval()


@torch.no_grad()
def tokens(model: nn.Module, data: Encoded, routing: Tensor) -> Tensor:
    found: Tensor = model(data, ROWS, routing, TEXT)
    assert found.shape == (2, 98, 576)
    return found


def other(data: Encoded, *names: str) -> Encoded:
    """The same images, of which these encoders say something else."""
    noise = random_encoded(len(data), seed=9)
    base = noise.base if BASE in names else data.base
    maps = [(noise if name in names else data).maps[j] for j, name in enumerate(EXPERTS)]
    return Encoded(base=base, maps=maps, cells=data.cells, facts=data.facts, domains=data.domains)


@pytest.mark.parametrize("name", [BASE, *EXPERTS])
def test_a_single_encoder_sees_its_own_map_and_no_other(name: str) -> None:
    data, model = random_encoded(4), awake(name)
    seen = tokens(model, data, ONE)
    others = [n for n in (BASE, *EXPERTS) if n != name]
    assert torch.equal(seen, tokens(model, other(data, *others), ONE))
    assert not torch.allclose(seen, tokens(model, other(data, name), ONE), atol=1e-3)


@pytest.mark.parametrize("name", [name for name in VARIANTS if VARIANTS[name].routed])
def test_a_routed_variant_sees_the_base_and_whom_it_was_given(name: str) -> None:
    data, model = random_encoded(4), awake(name)
    seen = tokens(model, data, TWO)
    assert torch.equal(seen, tokens(model, other(data, "location", "object"), TWO))
    for entering in (BASE, "text", "chart"):
        assert not torch.allclose(seen, tokens(model, other(data, entering), TWO), atol=1e-3)


@pytest.mark.parametrize("name", ["plain-fusion", "all-experts"])
def test_without_routing_every_encoder_enters_whoever_was_chosen(name: str) -> None:
    data, model = random_encoded(4), awake(name)
    seen = tokens(model, data, ONE)
    assert torch.equal(seen, tokens(model, data, EVERYBODY))
    for entering in (BASE, *EXPERTS):
        assert not torch.allclose(seen, tokens(model, other(data, entering), ONE), atol=1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_everything_that_may_learn_does(name: str) -> None:
    model = awake(name)
    model(random_encoded(4), ROWS, EVERYBODY, TEXT).sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not still


def test_a_uniform_gate_weighs_alike_and_nobody_where_nobody_was_chosen() -> None:
    routing = torch.tensor([[True, True, False, True], [False] * 4])
    weights = UniformGate()(torch.randn(2, 3, 8), TEXT, routing)
    assert weights.tolist() == [pytest.approx([1 / 3, 1 / 3, 0, 1 / 3]), [0, 0, 0, 0]]


def test_the_blocks_are_as_many_as_the_name_says() -> None:
    for name, blocks in {"blocks-1": 1, "mova": 2, "blocks-3": 3, "blocks-4": 4}.items():
        model = built(name, 0)
        assert isinstance(model, Fused)
        assert len(model.adapter.blocks) == blocks


def test_all_experts_are_weighed_where_there_is_no_routing() -> None:
    model = built("all-experts", 0)
    assert isinstance(model, Fused)
    assert [block.gate.top_k for block in model.adapter.blocks] == [4, 4]

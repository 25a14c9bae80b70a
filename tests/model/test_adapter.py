"""The MoV-Adapter's properties: mixed batches, gates, grids, start and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from openmova.model.adapter import AdapterConfig, DynamicGate, ExpertMap, MoVAdapter

WIDTHS = {"width": 16, "expert_channels": (6, 5, 4, 7), "text_width": 12, "output_width": 10}
CONFIG = AdapterConfig(**WIDTHS, grid=(4, 6), blocks=2, head_dim=8)
ROUTING = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]]).bool()


def adapter(config: AdapterConfig = CONFIG, *, train: bool = False) -> MoVAdapter:
    """With random weights also where it starts at zero."""
    torch.manual_seed(0)
    built = MoVAdapter(config)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built.train(train)


def inputs(config: AdapterConfig = CONFIG) -> tuple[Tensor, list[Tensor], Tensor]:
    """The base's map, the experts' maps and the texts of four rows."""
    random = torch.Generator().manual_seed(1)
    base = torch.randn(4, config.width, *config.grid, generator=random)
    maps = [
        torch.randn(4, channels, 3 + j, 5, generator=random)
        for j, channels in enumerate(config.expert_channels)
    ]
    return base, maps, torch.randn(4, config.text_width, generator=random)


def run(
    model: MoVAdapter,
    rows: list[int] | None = None,
    *,
    routing: Tensor = ROUTING,
    given: Tensor | None = None,
    text: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The adapter on some rows; `given`: which maps are passed, if other than those chosen."""
    rows = [0, 1, 2, 3] if rows is None else rows
    base, features, own = inputs(model.config)
    picked = (routing if given is None else given)[rows]
    maps = {
        j: ExpertMap(chosen, features[j][rows][chosen])
        for j in range(len(features))
        if len(chosen := picked[:, j].nonzero()[:, 0])
    }
    return model(base[rows], maps, routing[rows], (own if text is None else text)[rows])


@torch.no_grad()
def test_an_unselected_expert_equals_an_absent_one() -> None:
    model = adapter()
    all_given = run(model, given=torch.ones_like(ROUTING))
    torch.testing.assert_close(run(model), all_given, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_gates_sum_to_one_over_at_most_top_k_chosen_experts() -> None:
    _, gates = run(adapter())
    assert gates.shape == (4, CONFIG.blocks, 4)
    torch.testing.assert_close(gates.sum(-1), torch.tensor([[1.0], [0], [1], [1]]).expand(-1, 2))
    assert not gates[(~ROUTING)[:, None].expand_as(gates)].any()
    assert ((gates > 0).sum(-1) <= CONFIG.top_k).all()


@torch.no_grad()
@pytest.mark.parametrize("experts", range(1, 13))
def test_an_expert_more_changes_no_bit_of_the_other_gates(experts: int) -> None:
    torch.manual_seed(experts)
    more = DynamicGate(16, 8, experts + 1, top_k=3)
    less = DynamicGate(16, 8, experts, top_k=3)
    less.hidden.load_state_dict(more.hidden.state_dict())
    less.score.load_state_dict({k: v[:-1] for k, v in more.score.state_dict().items()})
    x, text = torch.randn(32, 5, 16), torch.randn(32, 8)
    routing = torch.rand(32, experts) < 0.6
    grown = more(x, text, torch.nn.functional.pad(routing, (0, 1)))
    assert torch.equal(grown[:, :-1], less(x, text, routing))
    assert not grown[:, -1].any()


@torch.no_grad()
def test_without_an_expert_the_question_has_no_influence() -> None:
    model = adapter()
    other = torch.randn(4, CONFIG.text_width)
    assert torch.equal(run(model, [1])[0], run(model, [1], text=other)[0])
    assert not torch.equal(run(model, [0])[0], run(model, [0], text=other)[0])


@pytest.mark.parametrize(
    "changes, tokens",
    [
        ({}, 2 * 3),
        ({"token_grid": (1, 5)}, 5),
        ({"grid": (5, 3), "token_grid": (5, 3)}, 15),
        ({"grid": (1, 7)}, 3),
        ({"head_dim": 4, "rope_theta": 100.0}, 6),
        ({"head_dim": 16, "top_k": 1}, 6),
    ],
)
@torch.no_grad()
def test_any_grid_and_head(changes: dict[str, Any], tokens: int) -> None:
    config = AdapterConfig(**{**vars(CONFIG), "token_grid": None, **changes})
    out, gates = run(adapter(config))
    assert config.tokens == tokens
    assert out.shape == (4, tokens, CONFIG.output_width)
    assert out.isfinite().all() and gates.isfinite().all()


@torch.no_grad()
def test_a_new_adapter_pools_and_projects_the_base_map() -> None:
    torch.manual_seed(0)
    model = MoVAdapter(CONFIG)
    tokens, gates = run(model)
    pooled = model.pool(inputs()[0]).flatten(2).mT
    torch.testing.assert_close(tokens, model.projector(pooled))
    # The gate starts uniform; of four equal experts it keeps three.
    torch.testing.assert_close(gates[0, 0], torch.tensor([0.5, 0, 0.5, 0]))
    assert gates[2].count_nonzero(dim=-1).tolist() == [3, 3]


def test_branches_that_add_zeros_are_left_out_without_a_trace() -> None:
    torch.manual_seed(0)
    fresh, learnt = MoVAdapter(CONFIG), adapter()
    calls: list[nn.Module] = []
    for model, computed in ((fresh, 0), (learnt, 1)):
        calls.clear()
        block = model.blocks[0]
        for branch in (block.attention.q_proj, block.mlp.up_proj, model.after_pool.conv_in):
            branch.register_forward_hook(lambda module, *_: calls.append(module))
        with torch.no_grad():
            tokens, _ = run(model)
        assert len(calls) == 3 * computed
        whole, _ = run(model)  # with gradients, for which every branch is needed
        assert len(calls) == 3 * computed + 3
        assert torch.equal(tokens, whole)


def test_gradients_reach_every_parameter_that_is_used() -> None:
    model = adapter(train=True)
    routing = torch.ones(4, 4, dtype=torch.bool)
    routing[:, 3] = False
    tokens, _ = run(model, routing=routing)
    tokens.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (".extractors.3." in name), name
        assert parameter.grad is None or parameter.grad.count_nonzero(), name


@torch.no_grad()
def test_half_precision() -> None:
    model = adapter().to(torch.bfloat16)
    base, features, text = inputs()
    maps = {0: ExpertMap(torch.tensor([0, 2]), features[0][[0, 2]])}  # experts may be float32
    routing = torch.zeros(4, 4, dtype=torch.bool)
    routing[[0, 2], 0] = True
    tokens, gates = model(base.bfloat16(), maps, routing, text.bfloat16())
    assert tokens.dtype == gates.dtype == torch.bfloat16
    assert tokens.isfinite().all()


def test_errors_name_the_remedy() -> None:
    model, (base, _, text) = adapter(), inputs()
    with pytest.raises(ValueError, match="row 0 chose expert 2 but its map is not given: pass"):
        run(model, [0], given=torch.tensor([[1, 0, 0, 0]]).bool())
    with pytest.raises(ValueError, match="set width and grid"):
        model(base[..., :3], {}, ROUTING, text)
    with pytest.raises(ValueError, match="multiple of 4"):
        AdapterConfig(head_dim=6)
    with pytest.raises(ValueError, match="no multiple of head_dim"):
        AdapterConfig(width=100)

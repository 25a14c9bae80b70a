"""The number of image tokens follows the routing: only what an expert that was chosen says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from openmova.inference.attention import watched
from openmova.model.adapter import AdapterConfig, ExpertMap, MoVAdapter
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.splicing import drop_empty_tokens, filled_tokens
from openmova.routing import RoutingConfig
from tests.tiny import GRID, rows_of, tiny_config, tiny_model

WIDTHS = {"width": 16, "expert_channels": (6, 4), "text_width": 12, "output_width": 10}
GRIDS = {"grid": (4, 6), "token_grid": (4, 6), "summary_grid": (2, 2)}
CONFIG = AdapterConfig(**WIDTHS, **GRIDS, blocks=1, head_dim=8)
SUMMARY = 4


def fuse(routing: Tensor, maps: dict[int, ExpertMap]) -> Tensor:
    torch.manual_seed(0)
    adapter = MoVAdapter(CONFIG).eval()
    base, text = torch.randn(len(routing), 16, 4, 6), torch.randn(len(routing), 12)
    with torch.no_grad():
        return adapter(base, maps, routing, text)[0]


def map_with(channels: int, cells: dict[tuple[int, int], slice]) -> Tensor:
    features = torch.zeros(1, channels, 4, 6)
    for (row, column), part in cells.items():
        features[0, part, row, column] = 1.0
    return features


def test_only_cells_that_a_chosen_expert_filled_give_tokens_beside_the_summary() -> None:
    maps = {
        0: ExpertMap(torch.tensor([0]), map_with(6, {(0, 0): slice(0, 6), (1, 2): slice(3, 6)})),
        1: ExpertMap(torch.tensor([1]), map_with(4, {(3, 5): slice(0, 2)})),
    }
    routing = torch.tensor([[True, False], [False, True], [False, False]])
    tokens = fuse(routing, maps)
    assert tokens.shape == (3, CONFIG.tokens, 10)
    filled = filled_tokens(tokens)
    assert filled[:, :SUMMARY].all()
    assert [row.nonzero()[:, 0].tolist() for row in filled[:, SUMMARY:]] == [[0, 8], [23], []]
    without = fuse(torch.zeros_like(routing), {})  # on which the summary does not depend
    assert torch.equal(tokens[:, :SUMMARY], without[:, :SUMMARY])


def test_where_no_cell_asks_another_those_without_a_token_are_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    adapter: Any = MoVAdapter(CONFIG).eval()
    block, stage = adapter.blocks[0], adapter.before_pool
    for extractor in block.extractors:
        nn.init.normal_(extractor.attention.out_proj.weight)
    nn.init.ones_(stage.norm_out.weight)
    nn.init.zeros_(stage.excite.weight)
    around = torch.ones(3, 3, dtype=torch.bool)
    around[1, 1] = False
    maps = {
        0: ExpertMap(torch.tensor([0]), map_with(6, {(0, 0): slice(0, 6), (1, 2): slice(3, 6)})),
        1: ExpertMap(torch.tensor([0, 1]), map_with(4, {(3, 5): slice(0, 2)}).repeat(2, 1, 1, 1)),
    }
    routing = torch.tensor([[True, True], [False, True]])
    inputs = (torch.randn(2, 16, 4, 6), maps, routing, torch.randn(2, 12))
    computed: list[int] = []
    adapter.projector.register_forward_hook(lambda _, args, out: computed.append(out.shape[1]))
    with torch.no_grad():
        asked, gates = adapter(*inputs)  # the stage's convolution asks the cells around
        stage.conv_mid.weight[:, :, around] = 0
        tokens, gates = adapter(*inputs)
        silent = {j: one._replace(features=one.features * 0) for j, one in maps.items()}
        nothing, _ = adapter(inputs[0], silent, *inputs[2:])
        with watched(adapter):  # each cell's attention is shown
            adapter(*inputs)
        monkeypatch.setattr(MoVAdapter, "_cells_are_apart", lambda self: False)
        whole, whole_gates = adapter(*inputs)
    assert computed == [24, 3, 24, 24, 24]
    assert not nothing[:, SUMMARY:].any()
    torch.testing.assert_close(tokens, whole, rtol=0, atol=1e-5)
    assert torch.equal(gates, whole_gates)
    assert (asked - whole).abs().max() > 1e-3


def test_places_of_empty_tokens_are_taken_out_of_prompts() -> None:
    image, pad = 9, 0
    ids = torch.tensor([[pad, 1, image, image, image, 2], [1, 3, image, image, image, 4]])
    mask = (ids != pad).long()
    tokens = torch.tensor([[[5.0], [0.0], [7.0]], [[0.0], [6.0], [0.0]]])
    shorter, its_mask, packed = drop_empty_tokens(ids, mask, tokens, image)
    assert shorter.tolist() == [[1, image, image, 2], [1, 3, image, 4]]
    assert its_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1]]
    assert packed[0, :, 0].tolist() == [5.0, 7.0]
    assert packed[1, 0].item() == 6.0


def sparse_prompts() -> tuple[MovaForConditionalGeneration, dict[str, Tensor]]:
    """A model, and two prompts whose pictures give fewer tokens than they have places."""
    adapter = replace(tiny_config().adapter, token_grid=GRID, summary_grid=(1, 2))
    model = tiny_model(adapter=adapter)
    count, image = adapter.tokens, model.config.image_token_id
    torch.manual_seed(0)
    tokens = torch.randn(2, count, adapter.output_width)
    tokens[0, 5:12], tokens[1, 3:] = 0, 0
    ids = torch.tensor([[0, 3, *[image] * count, 5, 6], [6, 7, *[image] * count, 7, 8]])
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    return model, {"input_ids": ids, "attention_mask": mask, "image_tokens": tokens}


def test_generation_without_empty_places_is_that_with_them_masked() -> None:
    model, inputs = sparse_prompts()
    ids, image = inputs["input_ids"], model.config.image_token_id
    with torch.no_grad():
        whole = model(**inputs).logits[:, -1]
        shorter, mask, packed = drop_empty_tokens(*inputs.values(), image)
        assert shorter.shape[1] < ids.shape[1]
        short = model(input_ids=shorter, attention_mask=mask, image_tokens=packed).logits[:, -1]
    torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-5)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    written = model.generate(**inputs, **options)
    assert torch.equal(written[:, : ids.shape[1]], ids)
    alone = model.generate(**{name: rows[1:] for name, rows in inputs.items()}, **options)
    assert torch.equal(written[1, ids.shape[1] :], alone[0, ids.shape[1] :])


def test_a_loss_does_not_compute_empty_places() -> None:
    """It is that of the prompts without them, and so are the gradients."""
    model, whole_inputs = sparse_prompts()
    image = model.config.image_token_id
    ids, mask, tokens = whole_inputs.values()
    losses, gradients = [], []
    with rows_of(model) as shapes:
        for drop in (False, True):
            given = ids, mask, tokens.clone().requires_grad_()
            if drop:
                given = drop_empty_tokens(*given, image)
                given[2].retain_grad()
            first = given[1].cumsum(dim=1) <= 1  # or padding
            labels = given[0].masked_fill((given[0] == image) | first, -100)
            inputs = dict(zip(whole_inputs, given, strict=True))
            loss = model(**inputs, labels=labels, use_cache=False).loss
            loss.backward()
            losses.append(loss.detach())
            gradients.append(given[2].grad)
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    filled = filled_tokens(tokens)
    for row, (whole, short) in enumerate(zip(*gradients, strict=True)):
        own = whole[filled[row]]
        torch.testing.assert_close(own, short[: len(own)], atol=1e-6, rtol=1e-5)
    assert shapes == [(2, 3 + int(filled.sum(dim=1).max()))] * 2


def test_empty_image_tokens_have_no_place_in_a_packed_row() -> None:
    model, inputs = sparse_prompts()
    expected = model(**inputs, labels=inputs["input_ids"])
    with rows_of(model) as shapes:
        found = model(**inputs, labels=inputs["input_ids"], pack=60)
    assert shapes == [(1, 7 + int(filled_tokens(inputs["image_tokens"]).sum()))]
    torch.testing.assert_close(found.logits[:, -2:], expected.logits[:, -2:], atol=1e-5, rtol=1e-5)


def test_the_router_sees_the_summary_pooled_to_its_own_grid() -> None:
    config = tiny_config()
    adapter = replace(config.adapter, token_grid=config.adapter.grid, summary_grid=(2, 4))
    model = tiny_model(adapter=adapter, routing=RoutingConfig(grid=(1, 2)))
    tokens = torch.zeros(1, adapter.tokens, 1)
    tokens[0, :8, 0] = torch.arange(8.0)  # the summary, row by row: 0 1 2 3 and 4 5 6 7
    tokens[0, 8:] = 100  # cells of the map are not pooled
    few = model.model.routing_tokens(tokens)
    assert few[0, :, 0].tolist() == [2.5, 4.5]

"""What routing prompts share, of one picture or of all, is read once and changes no routing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BatchFeature, DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from inference.asking import tiny_mova
from openmova import Mova
from openmova.inference.feature_cache import ImageFeatures
from openmova.inference.limits import GenerationLimits
from openmova.inference.prompt_cache import read_prompts
from openmova.inference.session import Picture, user_turn
from openmova.routing import RoutingResult
from openmova.routing.selection import ExpertSelection
from tiny import pictures

LONG = "what is red ? how many dogs ? what is the cat ? what is this ? what red ?"


def prompts(mova: Mova, asked: Sequence[tuple[Any, str]]) -> BatchFeature:
    conversations = [
        [user_turn(text, [Picture.of(picture, mova.processor)])] for picture, text in asked
    ]
    selections = [ExpertSelection()] * len(asked)
    return mova.prepare(conversations, selections, GenerationLimits(max_new_tokens=1))


POOL_FIRST = {"grid": (2, 2), "pool_first": True}


def routed(mova: Mova, known: Sequence[ImageFeatures], inputs: BatchFeature) -> RoutingResult:
    remembering = mova.memory(known)
    base_map = remembering.encode_base(inputs["pixel_values"], inputs["image_sizes"])
    ids, mask = inputs["routing_input_ids"], inputs["routing_attention_mask"]
    return remembering.route(range(len(known)), ids, mask, base_map)


def afresh(mova: Mova, inputs: BatchFeature) -> RoutingResult:
    base_map = mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
    ids, mask = inputs["routing_input_ids"], inputs["routing_attention_mask"]
    return mova.model.route(ids, mask, base_map)


@pytest.fixture(scope="module")
def pool_first() -> Mova:
    return tiny_mova(routing=POOL_FIRST)


@pytest.fixture
def read(mova: Mova, pool_first: Mova, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The rows and places that the language models read, of prompts alone."""
    seen: list[tuple[int, ...]] = []

    def watch(model: torch.nn.Module) -> None:
        forward = model.forward

        def counted(**inputs: Any) -> Any:
            rows, places = inputs["inputs_embeds"].shape[:2]
            if places > 1:
                seen.append((rows, places))
            return forward(**inputs)

        monkeypatch.setattr(model, "forward", counted)

    for one in (mova, pool_first):
        watch(one.model.model.language_model)
    return seen


def test_another_picture_reads_no_pool_where_the_pool_comes_first(
    pool_first: Mova, read: list[tuple[int, ...]]
) -> None:
    shown = pictures(3)
    first = prompts(pool_first, [(shown[0], "what is this ?")])
    further = prompts(pool_first, [(shown[1], LONG), (shown[2], "what red ?")])
    expected = afresh(pool_first, further)
    routed(pool_first, [ImageFeatures()], first)
    read.clear()
    result = routed(pool_first, [ImageFeatures(), ImageFeatures()], further)
    ((rows, places),) = read
    ids = further["routing_input_ids"][0].tolist()
    assert rows == 2
    assert places == len(ids) - ids.index(pool_first.processor.image_token_id)
    assert result.texts == expected.texts
    torch.testing.assert_close(result.scores, expected.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.tokens, expected.tokens)


def test_a_picture_in_front_is_read_with_all_that_follows(
    mova: Mova, read: list[tuple[int, ...]]
) -> None:
    shown = pictures(2)
    first, further = (prompts(mova, [(picture, "what ?")]) for picture in shown)
    routed(mova, [ImageFeatures()], first)
    read.clear()
    routed(mova, [ImageFeatures()], further)
    assert read == [tuple(further["routing_input_ids"].shape)]


def test_a_further_question_reads_what_is_new(mova: Mova, read: list[tuple[int, ...]]) -> None:
    picture, known = pictures(1)[0], ImageFeatures()
    first, further = (prompts(mova, [(picture, text)]) for text in ("what is this ?", "what red ?"))
    expected = afresh(mova, further)
    routed(mova, [known], first)
    read.clear()
    result = routed(mova, [known], further)
    ((rows, places),) = read
    assert (rows, places) < (1, further["routing_input_ids"].shape[1] // 2)
    assert result.texts == expected.texts
    assert result.routing.equal(expected.routing)
    torch.testing.assert_close(result.scores, expected.scores)
    torch.testing.assert_close(result.tokens, expected.tokens)


@pytest.mark.parametrize("which", ["mova", "pool_first"])
@settings(deadline=None, max_examples=25)
@given(
    before=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["what", "what red ?", LONG]))),
    asked=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["what", "how many dogs ?", LONG])), min_size=1
    ),
)
def test_any_company_and_any_past_give_the_same_routing(
    which: str,
    request: pytest.FixtureRequest,
    before: list[tuple[int, str]],
    asked: list[tuple[int, str]],
) -> None:
    mova: Mova = request.getfixturevalue(which)
    shown, known = pictures(4), [ImageFeatures() for _ in range(4)]
    if before:
        batch = prompts(mova, [(shown[number], text) for number, text in before])
        routed(mova, [known[number] for number, _ in before], batch)
    batch = prompts(mova, [(shown[number], text) for number, text in asked])
    result = routed(mova, [known[number] for number, _ in asked], batch)
    expected = afresh(mova, batch)
    assert result.texts == expected.texts
    torch.testing.assert_close(result.scores, expected.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.tokens, expected.tokens)


def test_sliding_windows_and_layers_of_different_shapes_are_not_kept() -> None:
    sliding, uneven = DynamicCache(), DynamicCache()
    sliding.layers = [DynamicSlidingWindowLayer(sliding_window=4)]
    ids = torch.tensor([[1, 2, 3]])
    for cache, layer, heads in ((sliding, 0, 1), (uneven, 0, 1), (uneven, 1, 2)):
        cache.update(torch.zeros(1, heads, 3, 2), torch.zeros(1, heads, 3, 2), layer)
    for cache in (sliding, uneven):
        assert read_prompts(cache, ids, torch.ones_like(ids)) is None


def test_what_is_kept_counts(mova: Mova) -> None:
    known = ImageFeatures()
    before = known.size
    inputs = prompts(mova, [(pictures(1)[0], "what is this ?")])
    routed(mova, [known], inputs)
    text = mova.model.config.text_config
    places = inputs["routing_input_ids"].shape[1]
    kept = 2 * text.num_hidden_layers * text.num_key_value_heads * places * text.head_dim * 4
    assert known.size == before + known.base.numel() * 4 + kept

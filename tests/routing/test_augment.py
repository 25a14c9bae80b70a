"""Augmentation: the answer follows the annotation, and only the text tells which expert fits."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.routing import expert_letters
from openmova.routing.augment import (
    PUBLISHED,
    UNCHANGED,
    Augmentation,
    augmented_pool,
    without_names,
)

WORDS = ["ocr-1", "OCR-1", "Ocr 1", "ocr1", "a", "The", "reads text", "model", ".", ",", "-"]
TEXTS = st.lists(st.sampled_from([*PUBLISHED, *WORDS]), min_size=1, max_size=8).map(" ".join)
NAMES = st.lists(st.sampled_from(["ocr-1", "text", "sam", "dino.v2", "x_9", "chart", "B2"]))
POOLS = NAMES.map(dict.fromkeys).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.lists(TEXTS, min_size=1, max_size=3) for name in names}
    )
)
PARTS = st.builds(
    Augmentation,
    without_names=st.booleans(),
    paraphrased=st.booleans(),
    shuffled=st.booleans(),
    truncated=st.floats(0, 1),
    least=st.integers(1, 4),
)
SEEDS = st.integers(0, 2**40)

POOL = {
    "ocr": ["It reads text.", "A reader of words."],
    "chart": ["It reads charts.", "Knows the bars."],
    "shapes": ["It counts shapes."],
    "animals": ["It knows animals."],
}


@given(POOLS, st.data(), SEEDS, SEEDS, PARTS)
def test_the_letters_of_the_answer_name_the_annotated_experts_that_are_left(
    pool: dict[str, list[str]], data: st.DataObject, seed: int, index: int, parts: Augmentation
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(pool)), max_size=3)) if pool else set()
    shown = augmented_pool(pool, chosen, seed=seed, index=index, augmentation=parts)
    assert len(set(shown.names)) == len(shown.names) == len(shown.descriptions)
    letters = [] if shown.answer == "none" else shown.answer.split(", ")
    assert letters == sorted(letters)
    named = {shown.names[expert_letters(len(shown.names)).index(letter)] for letter in letters}
    assert named == chosen & set(shown.names)
    assert shown == augmented_pool(pool, chosen, seed=seed, index=index, augmentation=parts)


@given(POOLS, SEEDS)
def test_no_description_holds_the_name_of_a_model(pool: dict[str, list[str]], seed: int) -> None:
    shown = augmented_pool(pool, (), seed=seed, index=0, augmentation=Augmentation())
    for text in shown.descriptions:
        assert not re.search(r"\b(" + "|".join(map(re.escape, PUBLISHED)) + r")\b", text)
        if "ocr-1" in pool:
            assert not re.search(r"\bocr[- ]?1\b", text.lower())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("DINOv2 sees well.", "This model sees well."),
        ("The Co-DETR model finds things.", "This model finds things."),
        ("Segment Anything's masks are sharp.", "This model's masks are sharp."),
        ("Better than Vary-base on plots.", "Better than this model on plots."),
        ("It is SAM-based.", "It is this model-based."),
        ("My_OCR reads; so does myocr.", "This model reads; so does this model."),
        ("Photos and clip art vary, as does text.", "Photos and clip art vary, as does text."),
    ],
)
def test_this_model_stands_for_a_name_and_words_stay(text: str, left: str) -> None:
    assert without_names(text, ["my-ocr", "text"]) == left


def draws(**changes: object) -> list[tuple[str, ...]]:
    parts = Augmentation(**changes)  # type: ignore[arg-type]
    return [
        augmented_pool(POOL, ("chart",), seed=0, index=i, augmentation=parts).names
        for i in range(400)
    ]


def test_every_expert_gets_every_letter_about_as_often() -> None:
    first = Counter(names[0] for names in draws(truncated=0.0))
    assert all(70 < first[name] < 130 for name in POOL)


def test_cut_pools_keep_at_least_so_many_and_may_lose_an_annotated_expert() -> None:
    pools = draws(truncated=1.0, least=2)
    assert {len(names) for names in pools} == {2, 3}
    assert any("chart" not in names for names in pools)
    assert {len(names) for names in draws(truncated=0.5)} == {2, 3, 4}
    assert {len(names) for names in draws(truncated=1.0, least=4)} == {4}


def test_a_description_is_drawn_of_its_paraphrases() -> None:
    texts: set[str] = set()
    for index in range(30):
        shown = augmented_pool(POOL, (), seed=1, index=index, augmentation=Augmentation())
        texts.update(shown.descriptions)
    assert texts == {text for paraphrases in POOL.values() for text in paraphrases}


def test_unchanged_is_the_pool_of_inference() -> None:
    shown = augmented_pool(POOL, ("shapes", "ocr"), seed=3, index=5, augmentation=UNCHANGED)
    assert shown.names == tuple(POOL)
    assert shown.descriptions == tuple(texts[0] for texts in POOL.values())
    assert shown.answer == "A, C"


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="the pool has no ghost"):
        augmented_pool(POOL, ("ghost",), seed=0, index=0, augmentation=UNCHANGED)
    with pytest.raises(ValueError, match="truncated"):
        Augmentation(truncated=1.5)
    with pytest.raises(ValueError, match="least"):
        Augmentation(least=0)

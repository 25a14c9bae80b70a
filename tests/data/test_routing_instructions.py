"""Routing instructions: the annotation as a question to the router, whatever else is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.descriptions import PoolDescriptions
from openmova.data.routing_instructions import routing_instructions, routing_sample
from openmova.data.sample import Sample, Turn
from openmova.data.sources import RecordList
from openmova.errors import UserError
from openmova.routing import expert_letters
from openmova.routing.augment import UNCHANGED, Augmentation

POOL = PoolDescriptions(
    instruction="Choose.",
    descriptions={
        "ocr": ("It reads text.", "A reader."),
        "chart": ("It reads charts.", "Knows bars."),
        "shapes": ("It counts shapes.",),
    },
)


def record(**changes: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nHow high?"}, {"from": "gpt", "value": "3"}]
    return {"image": "a.png", "conversations": turns, "experts": ["chart"], **changes}


def source(*records: dict[str, Any]) -> RecordList:
    return RecordList("data", list(records), Path("pictures"))


def annotated(*experts: str) -> Sample:
    turns = (Turn(role="user", text="How high?"), Turn(role="assistant", text="3"))
    return Sample(id="a", image=Path("a.png"), turns=turns, experts=experts, domain="chart")


def test_without_augmentation_it_is_the_prompt_of_inference() -> None:
    routed = routing_sample(
        annotated("shapes", "ocr"), POOL, seed=0, index=0, augmentation=UNCHANGED
    )
    prompt, answer = routed.turns
    assert prompt.text == (
        "Choose.\nModel pool:\nA. It reads text.\nB. It reads charts.\nC. It counts shapes.\n"
        "\nQuestion:\nHow high?"
    )
    assert (answer.role, answer.text) == ("assistant", "A, C")
    assert (routed.routing, routed.experts, routed.image) == (True, (), Path("a.png"))


def test_no_expert_is_none() -> None:
    routed = routing_sample(annotated(), POOL, seed=0, index=0, augmentation=UNCHANGED)
    assert routed.turns[1].text == "none"


@given(st.sets(st.sampled_from(list(POOL.descriptions))), st.integers(0, 99), st.integers(0, 99))
def test_the_answer_names_the_lines_that_describe_the_annotated_experts(
    experts: set[str], seed: int, index: int
) -> None:
    routed = routing_sample(
        annotated(*experts), POOL, seed=seed, index=index, augmentation=Augmentation()
    )
    pool = routed.turns[0].text.split("Model pool:\n")[1].split("\n\nQuestion:\n")[0].split("\n")
    owner = {text: name for name, texts in POOL.descriptions.items() for text in texts}
    shown = {letter: owner[text] for letter, text in (line.split(". ", 1) for line in pool)}
    assert list(shown) == list(expert_letters(len(pool)))
    right = [letter for letter, name in shown.items() if name in experts]
    assert routed.turns[1].text == (", ".join(right) or "none")


def test_a_sample_has_the_same_instruction_whatever_the_count() -> None:
    samples = source(*(record(id=str(i)) for i in range(40)))
    bad = BadSamples()
    all_of_them = routing_instructions(samples, POOL, bad=bad)
    assert len(all_of_them) == bad.good == 40
    few = routing_instructions(samples, POOL, bad=BadSamples(), count=10)
    assert len(few) == 10
    assert [r for r in all_of_them if r in few] == few
    assert few != routing_instructions(samples, POOL, bad=BadSamples(), count=10, seed=1)
    assert few == routing_instructions(samples, POOL, bad=BadSamples(), count=10)


def test_only_annotated_samples_with_a_picture_count_and_bad_ones_are_listed() -> None:
    text_only = record(image=None, conversations=[{"from": "human", "value": "Hi"}, TURN_END])
    samples = source(
        record(id="good"),
        record(experts=None),
        text_only,
        record(routing=True),
        record(experts=["chrt"]),
        {"image": "a.png"},
    )
    bad = BadSamples()
    routed = routing_instructions(samples, POOL, bad=bad)
    assert [sample.id for sample in routed] == ["good"]
    assert bad.bad == 2


TURN_END = {"from": "gpt", "value": "Hello"}


def test_an_unknown_expert_is_named_with_the_nearest() -> None:
    with pytest.raises(BadSample, match=r"unknown expert 'chrt': did you mean chart"):
        routing_sample(annotated("chrt"), POOL, seed=0, index=0, augmentation=UNCHANGED)


def test_data_without_annotation_is_refused() -> None:
    with pytest.raises(UserError, match="annotate it first"):
        routing_instructions(source(record(experts=None)), POOL, bad=BadSamples())

"""Routing instructions: the annotation as a question to the router, whatever else is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.descriptions import PoolDescriptions
from openmova.data.routing_instructions import routing_instructions, routing_sample
from openmova.data.sample import Sample, Turn
from openmova.data.sources import RecordList
from openmova.errors import UserError
from openmova.routing.augment import UNCHANGED

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
    plain = {"seed": 0, "index": 0, "augmentation": UNCHANGED}
    routed = routing_sample(annotated("shapes", "ocr"), POOL, **plain)
    prompt, answer = routed.turns
    assert prompt.text == (
        "Choose.\nModel pool:\nA. It reads text.\nB. It reads charts.\nC. It counts shapes.\n"
        "\nQuestion:\nHow high?"
    )
    assert (answer.role, answer.text) == ("assistant", "A, C")
    assert (routed.routing, routed.experts, routed.image) == (True, (), Path("a.png"))
    none = routing_sample(annotated(), POOL, **plain)
    assert none.turns[1].text == "none"


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
    hello = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    left_out = [{"experts": None}, {"image": None, "conversations": hello}, {"routing": True}]
    samples = source(
        record(id="good"),
        *(record(**changes) for changes in left_out),
        record(experts=["chrt"]),
        {"image": "a.png"},
    )
    bad = BadSamples()
    routed = routing_instructions(samples, POOL, bad=bad)
    assert [sample.id for sample in routed] == ["good"]
    assert bad.bad == 2


def test_an_unknown_expert_is_named_and_data_without_annotation_refused() -> None:
    with pytest.raises(BadSample, match=r"unknown expert 'chrt': did you mean chart"):
        routing_sample(annotated("chrt"), POOL, seed=0, index=0, augmentation=UNCHANGED)
    with pytest.raises(UserError, match="annotate it first"):
        routing_instructions(source(record(experts=None)), POOL, bad=BadSamples())

"""What an answer is worth: each reward on cases by hand, and what a reward may not do."""

from __future__ import annotations

import math
from typing import Any

import pytest

from openmova.data.sample import Sample, Turn
from openmova.errors import UserError
from openmova.train.rewards import find_reward, trl_rewards

THOUGHT = "<think>it is 3, no, 4</think>\n<answer>{}</answer>"


def sample(solution: str, **changes: Any) -> Sample:
    turns = (Turn(role="user", text="What?"), Turn(role="assistant", text=solution))
    return Sample(id="7", turns=turns, source="data", **changes)


def worth(names: list[str], answer: str, one: Sample) -> list[float]:
    completions = [[{"role": "assistant", "content": answer}]]
    rewards = trl_rewards(names, tolerance=0.05)
    return [reward(completions=completions, sample=[one])[0] for reward in rewards]


@pytest.mark.parametrize(
    ("name", "answer", "solution", "expected"),
    [
        ("exact", " Red.", "red", 1),
        ("exact", "a red one", "red", 0),
        ("exact", THOUGHT.format("Red"), "red", 1),
        ("format", THOUGHT.format("Red"), "red", 1),
        ("format", "so: " + THOUGHT.format("Red"), "red", 0),
        ("format", "<answer>Red</answer>", "red", 0),
        ("iou", "at [0, 0, 0.4, 0.2]", "[0, 0, 0.2, 0.2]", 0.5),
        ("iou", "there", "[0, 0, 0.2, 0.2]", 0),
        ("number", "It is 1,040", "1000", 1),
        ("number", "1,060", "1000", 0),
        ("number", "of 9 there are -4", "-4", 1),
        ("number", "0", "0", 1),
        ("number", "none", "0", 0),
        ("choice", "The answer is (B).", "B", 1),
        ("choice", "b", "B. a dog", 1),
        ("choice", "A dog", "A", 0),
        ("choice", "C", "B", 0),
    ],
)
def test_rewards_by_hand(name: str, answer: str, solution: str, expected: float) -> None:
    assert worth([name], answer, sample(solution)) == [pytest.approx(expected, abs=1e-4)]


@pytest.mark.parametrize(
    ("changes", "answer", "expected"),
    [
        # R = (1 - D/2) 1 + D/2 (a half of the words)
        ({"dependency": 0.8, "evidence": ("bar", "axis")}, "Bar 4 <answer>4</answer>", (0.6, 0.2)),
        ({"dependency": 0.8, "evidence": ("bar",)}, "barn <answer>4</answer>", (0.6, 0)),
        ({"dependency": None, "evidence": ("bar",)}, "bar <answer>4</answer>", (1, 0)),
        ({"dependency": 1.0}, "4", (0.5, 0)),  # no evidence, no box
    ],
)
def test_the_more_an_answer_rests_on_the_picture_the_more_counts_what_was_seen(
    changes: dict[str, Any], answer: str, expected: tuple[float, float]
) -> None:
    found = worth(["exact", "visual"], answer, sample("4", **changes))
    assert found == pytest.approx(list(expected))


def length(answer: str, one: Sample) -> float:
    if answer == "fails":
        raise KeyError("no such\nthing")
    return float(answer)


def test_a_function_of_the_user_s() -> None:
    assert worth([f"{__name__}:length"], "2.5", sample("x")) == [2.5]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exakt", "unknown reward, 'exakt': did you mean exact"),
        ("nowhere:f", "the reward nowhere:f can't be imported: No module named 'nowhere'"),
        (f"{__name__}:g", "can't be imported: module .* has no attribute 'g'"),
    ],
)
def test_a_reward_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_reward(name, tolerance=0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            "fails",
            "length failed on the sample '7' .data., answered with 'fails': KeyError: 'no su",
        ),
        (str(math.nan), "length is nan on the sample '7' .data., answered with 'nan'"),
        ("inf", "length is inf"),
    ],
)
def test_a_reward_that_raises_or_is_no_number_is_named(answer: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        worth([f"{__name__}:length"], answer, sample("x"))
    assert "\n" not in str(caught.value)

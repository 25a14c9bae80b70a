"""The embedded model on real input: assembled from packages, asked about the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openmova import Mova
from openmova.inference.answer import Answer, matches
from studies.toy.suite import GROUPS, items, run

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS: list[dict[str, Any]] = json.loads((EXAMPLES / "questions.json").read_text())


@pytest.fixture(scope="module")
def nano() -> Mova:
    return Mova.from_pretrained("nano")


def test_the_examples_cover_every_domain_twice() -> None:
    domains = [question["domain"] for question in QUESTIONS]
    assert all(domains.count(d) >= 2 for d in ("object", "text", "chart", "location"))
    assert len({question["image"] for question in QUESTIONS}) >= 8


@pytest.fixture(scope="module")
def answers(nano: Mova) -> list[Answer]:
    """Of every question of the examples, asked alone."""
    return [nano.ask(EXAMPLES / q["image"], q["question"]) for q in QUESTIONS]


def test_most_examples_are_answered_and_routed_as_expected(answers: list[Answer]) -> None:
    # The model card's shares: 74% of the answers, 96% of the routings; here are 15 questions.
    right = [matches(a.text, q["expected"]) for a, q in zip(answers, QUESTIONS, strict=True)]
    routed = [
        set(a.routing.experts) == set(q["experts"]) for a, q in zip(answers, QUESTIONS, strict=True)
    ]
    assert sum(right) >= 0.6 * len(right), [a.text for a in answers]
    assert sum(routed) >= 0.7 * len(routed), [a.routing for a in answers]


def test_a_batch_of_mixed_routings_answers_as_single_questions_do(
    nano: Mova, answers: list[Answer]
) -> None:
    some = [(EXAMPLES / q["image"], q["question"]) for q in QUESTIONS[::3]]
    assert len({answer.routing.experts for answer in answers[::3]}) > 2
    for batched, alone in zip(nano.ask_batch(some), answers[::3], strict=True):
        assert (batched.text, batched.routing.experts) == (alone.text, alone.routing.experts)


def test_streaming_gives_the_same_answer_in_pieces(nano: Mova, answers: list[Answer]) -> None:
    pieces = nano.stream(EXAMPLES / QUESTIONS[0]["image"], QUESTIONS[0]["question"])
    assert "".join(pieces) == answers[0].text


def test_the_suite_reports_every_figure_with_its_interval(nano: Mova) -> None:
    report = run(nano, seed=12345, n=1)
    assert report["n"] == len(GROUPS)
    for group in (*GROUPS, "overall"):
        shares = report["domains"][group]
        figures = {"routed", "base_only", "all_experts", "majority", "routing_accuracy"}
        assert shares.keys() == figures
        for share in shares.values():
            assert 0 <= share["ci95"][0] <= share["value"] <= share["ci95"][1] <= 1


def test_the_suite_asks_the_same_questions_for_the_same_seed() -> None:
    first, again, other = items(3, 2), items(3, 2), items(4, 2)
    assert [(i.question, i.fact, i.image.tobytes()) for i in first] == [
        (i.question, i.fact, i.image.tobytes()) for i in again
    ]
    assert [i.question for i in first] != [i.question for i in other]

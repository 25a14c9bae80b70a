"""Who is chosen in each row, and what the suite asks."""

from __future__ import annotations

from openmova.checkpoints.nano_spec import EXPERTS
from studies.claims.questions import NEEDED, questions
from studies.claims.rows import TABLES, RowSpec
from studies.claims.variants import VARIANTS

ROUTED = {
    "chosen": ["chart", "text"],
    "scores": {"text": 0.9, "chart": 0.8, "location": 0.1, "object": 0.3},
}


def chosen(variant: str, choice: str = "dynamic", key: str = "a") -> tuple[str, ...]:
    return RowSpec(name="", variant=variant, choice=choice).routing(ROUTED, key=key, seed=1)


def test_the_router_chooses_as_many_as_it_names() -> None:
    assert chosen("mova") == ("text", "chart")


def test_a_fixed_number_takes_the_best_scored_in_the_order_of_the_pool() -> None:
    assert chosen("mova", "best-1") == ("text",)
    assert chosen("mova", "best-2") == ("text", "chart")
    assert chosen("mova", "best-3") == ("text", "chart", "object")


def test_a_blind_choice_is_as_large_and_differs_by_question() -> None:
    drawn = [chosen("mova", "random", str(number)) for number in range(40)]
    assert drawn == [chosen("mova", "random", str(number)) for number in range(40)]
    assert {len(names) for names in drawn} == {2}
    assert {name for names in drawn for name in names} == set(EXPERTS)


def test_a_variant_that_is_not_routed_is_given_nobody() -> None:
    assert chosen("plain-fusion") == chosen("base") == chosen("all-experts") == ()


def test_every_variant_is_in_a_table() -> None:
    assert {row.variant for table in TABLES for row in table.rows} == set(VARIANTS)


def test_every_group_needs_its_experts_and_the_fifth_needs_two() -> None:
    asked = questions(0, 2)
    assert [question.group for question in asked] == [g for g in NEEDED for _ in range(2)]
    assert all(question.fact.experts == NEEDED[question.group] for question in asked)
    assert len(NEEDED["text+chart"]) == 2
    again, other = questions(0, 2), questions(1, 2)
    assert [q.text for q in asked] == [q.text for q in again] != [q.text for q in other]
    assert all(
        a.sample.image.tobytes() == b.sample.image.tobytes()
        for a, b in zip(asked, again, strict=True)
    )

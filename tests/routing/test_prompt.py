"""The router's prompt follows the pool; its answer is read by the released rule for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.routing import (
    INSTRUCTION,
    expert_letters,
    format_routing,
    parse_routing,
    read_routing_prompt,
    routing_prompt,
)

POOLS = st.integers(0, 26).map(expert_letters)


@given(st.text() | st.text("ABCDEFG, none"), POOLS.flatmap(st.permutations))
def test_up_to_26_experts_a_letter_counts_in_three_pieces(text: str, letters: list[str]) -> None:
    first_three = text.split(",")[:3]
    expected = {i for i, letter in enumerate(letters) if any(letter in p for p in first_three)}
    assert parse_routing(text, letters) == expected


@given(st.integers(1, 60), st.data())
def test_up_to_three_experts_survive_writing_and_reading(experts: int, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, experts - 1), max_size=3))
    letters = expert_letters(experts)
    assert parse_routing(format_routing(chosen, letters), letters) == chosen


def test_letters_go_on_after_z() -> None:
    letters = expert_letters(703)
    assert letters[25:29] == ("Z", "AA", "AB", "AC")
    assert letters[701:] == ("ZZ", "AAA")
    assert len(set(letters)) == 703
    with pytest.raises(ValueError, match="-1"):
        expert_letters(-1)


def test_in_a_pool_of_more_than_26_a_word_of_capitals_counts_as_a_whole() -> None:
    letters = expert_letters(30)
    assert parse_routing("A, AB", letters) == {0, 27}
    assert parse_routing("The Answer is AB.", letters) == {27}
    assert parse_routing("ABC", letters) == set()


@pytest.mark.parametrize("text", ["", ",", ",,,,", "none", "None", "a, b", "\x00\ud800", "Ａ"])
def test_texts_that_name_no_expert_choose_none(text: str) -> None:
    assert parse_routing(text, expert_letters(13)) == set()


def test_an_answer_lists_letters_in_order() -> None:
    assert format_routing([3, 0, 3], "ABCD") == "A, D"
    assert format_routing([], "ABCD") == "none"


def test_the_prompt_has_one_lettered_line_for_each_expert_in_the_order_of_the_pool() -> None:
    prompt = routing_prompt("Choose.", ["reads text.", "sees shapes."], "Which?\nOne word.")
    assert prompt == (
        "Choose.\nModel pool:\nA. reads text.\nB. sees shapes.\n\nQuestion:\nWhich?\nOne word."
    )
    assert routing_prompt("I", [], "Q") == "I\nModel pool:\n\nQuestion:\nQ"
    pool = [f"expert {n}" for n in range(27)]
    assert "\nZ. expert 25\nAA. expert 26\n" in routing_prompt("I", pool, "Q")


LINES = st.text("abc. ,?:", min_size=1).map(str.strip)


@given(st.lists(LINES, max_size=30), LINES)
def test_what_a_prompt_was_made_of_is_read_back(descriptions: list[str], question: str) -> None:
    prompt = routing_prompt(INSTRUCTION, descriptions, question)
    assert read_routing_prompt(prompt.strip()) == (descriptions, question)


def test_the_default_instruction_is_the_released_one() -> None:
    assert INSTRUCTION.startswith("You are a helpful assistant router. Based on the visual content")
    assert INSTRUCTION.endswith("If no models are selected, just answer 'none'.")

"""The router's prompt follows the pool; the gate's text follows the question."""

from __future__ import annotations

from openmova.routing import INSTRUCTION, gate_text, routing_prompt


def test_the_prompt_has_one_lettered_line_for_each_expert_in_the_order_of_the_pool() -> None:
    prompt = routing_prompt("Choose.", ["reads text.", "sees shapes."], "Which?\nOne word.")
    assert prompt == (
        "Choose.\nModel pool:\nA. reads text.\nB. sees shapes.\n\nQuestion:\nWhich?\nOne word."
    )


def test_a_pool_may_be_empty_or_larger_than_the_alphabet() -> None:
    assert routing_prompt("I", [], "Q") == "I\nModel pool:\n\nQuestion:\nQ"
    assert "\nZ. expert 25\nAA. expert 26\n" in routing_prompt(
        "I", [f"expert {n}" for n in range(27)], "Q"
    )


def test_the_default_instruction_is_the_released_one() -> None:
    assert INSTRUCTION.startswith("You are a helpful assistant router. Based on the visual content")
    assert INSTRUCTION.endswith("If no models are selected, just answer 'none'.")


def test_the_gate_reads_the_question_in_lower_case_without_the_image() -> None:
    assert gate_text(["<image>\nWhat is THIS?"]) == "question 0: what is this?\n\n"
    assert gate_text(["A <q>", "<i> B"]) == "question 0: a <q>\n\nquestion 1: <i> b\n\n"

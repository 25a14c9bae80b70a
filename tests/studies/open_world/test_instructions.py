"""Imagined experts: only the texts decide, and what is held out stays out of the training data."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from openmova.data.formats import read_samples
from openmova.data.sample import Sample
from studies.open_world.instructions import (
    NONE,
    POOL,
    TWO,
    main,
    open_world,
    open_world_instructions,
)

PAGE = Image.new("RGB", (8, 8))
WORLD = open_world()
EXPERTS = {**WORLD.training, **WORLD.held_out}
OWNER = {text: name for name, expert in EXPERTS.items() for text in expert.descriptions}
NEEDED = {text: name for name, expert in EXPERTS.items() for text in expert.questions}


def instructions(**options: object) -> list[Sample]:
    return open_world_instructions([PAGE], **{"count": 400, **options})  # type: ignore[arg-type]


def shown(sample: Sample) -> tuple[dict[str, str], str]:
    """The descriptions by their letters, and the question."""
    pool, question = sample.question.split("Model pool:\n")[1].split("\n\nQuestion:\n")
    return dict(line.split(". ", 1) for line in pool.split("\n")), question


def needed(question: str) -> set[str]:
    return {name for text, name in NEEDED.items() if text in question}


def test_enough_experts_with_short_texts_that_are_nowhere_twice() -> None:
    assert len(WORLD.training) >= 40
    assert len(WORLD.training) % POOL == 0
    assert len(WORLD.held_out) == POOL
    assert sum(len(expert.questions) for expert in WORLD.held_out.values()) == 105
    texts = [*WORLD.general]
    for expert in EXPERTS.values():
        assert len(expert.descriptions) >= 5
        assert len(expert.questions) >= 15
        texts += [*expert.descriptions, *expert.questions]
    assert len(set(texts)) == len(texts)
    assert max(len(text.split()) for text in texts) <= 16


def test_no_description_holds_a_name() -> None:
    assert not [text for text in OWNER for name in EXPERTS if name in text.lower()]


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("turns", [1, 4])
def test_each_answer_names_the_lines_of_the_experts_that_its_question_needs(
    augmented: bool, turns: int
) -> None:
    for sample in instructions(augmented=augmented, turns=turns, count=200):
        pool, first = shown(sample)
        questions = [first, *(turn.text for turn in sample.turns[2::2])]
        for question, answer in zip(questions, sample.turns[1::2], strict=True):
            right = [letter for letter, text in pool.items() if OWNER[text] in needed(question)]
            assert answer.text == (", ".join(right) or "none")
        assert len(questions) == turns
        assert sample.routing


def test_no_expert_is_asked_twice_while_two_others_wait() -> None:
    for sample in instructions(turns=8, count=100):
        pool, _ = shown(sample)
        letters = [a for turn in sample.turns[1::2] for a in turn.text.split(", ") if a in pool]
        first = letters[: len(pool) - 1]
        assert len(set(first)) == len(first)


@pytest.mark.parametrize("augmented", [True, False])
def test_nothing_held_out_is_in_the_training_data(augmented: bool) -> None:
    held_out = {text for e in WORLD.held_out.values() for text in (*e.descriptions, *e.questions)}
    texts = "\n".join(sample.question for sample in instructions(augmented=augmented))
    assert not [text for text in held_out if text in texts]


def test_some_questions_need_two_experts_and_some_none() -> None:
    answers = [sample.turns[1].text for sample in instructions(count=2000)]
    assert answers.count("none") / 2000 == pytest.approx(NONE, abs=0.02)
    assert sum("," in answer for answer in answers) / 2000 == pytest.approx(TWO, abs=0.02)


def test_augmented_pools_differ_in_size_order_and_wording() -> None:
    pools = [shown(sample)[0] for sample in instructions()]
    assert {len(pool) for pool in pools} == {3, 4, 5, 6, 7}
    places = {(letter, OWNER[text]) for pool in pools for letter, text in pool.items()}
    assert len(places) > 4 * len(WORLD.training)
    assert len({text for pool in pools for text in pool.values()}) > 4 * len(WORLD.training)


def test_without_augmentation_every_expert_has_one_letter_and_one_description() -> None:
    pools = [shown(sample)[0] for sample in instructions(augmented=False)]
    lines = {line for pool in pools for line in pool.items()}
    assert len(lines) == len(WORLD.training)
    assert {text for _, text in lines} == {e.descriptions[0] for e in WORLD.training.values()}


def test_the_instruction_is_the_model_s() -> None:
    assert instructions(instruction="Choose.", count=1)[0].question.startswith("Choose.\nModel")


def test_the_file_is_data_for_any_trainer_and_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "open-world.json"
    monkeypatch.setattr("sys.argv", ["open_world", str(out), "--count", "60"])
    main()
    read = read_samples(out)
    samples = [read[index].open() for index in range(len(read))]
    assert len(samples) == 60
    assert all(sample.routing and sample.domain == "open-world" for sample in samples)
    with pytest.raises(SystemExit, match="exists already"):
        main()

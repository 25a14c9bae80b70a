"""Generated images: what the facts claim is what was drawn."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from studies.toy.synthetic import (
    COLUMNS,
    ROWS,
    PictureSet,
    draw_chart,
    draw_form,
    draw_picture,
    draw_shapes,
)
from studies.toy.synthetic.charts import UNIT
from studies.toy.synthetic.questions import HELD_OUT, TRAINING, ask
from studies.toy.synthetic.sample import COLOURS, SCALE
from studies.toy.synthetic.shapes import place_name
from studies.toy.synthetic.words import INDEX

DRAW = {"text": draw_form, "chart": draw_chart, "location": draw_shapes}
SEEDS = range(40)


@pytest.mark.parametrize("domain", DRAW)
def test_the_same_seed_draws_the_same_image(domain: str) -> None:
    first, again = (DRAW[domain](random.Random("a seed")) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.cells == again.cells and first.facts == again.facts


@pytest.mark.parametrize("domain", DRAW)
def test_cells_fill_the_grid_with_known_words(domain: str) -> None:
    for seed in SEEDS:
        cells = DRAW[domain](random.Random(seed)).cells
        assert len(cells) == ROWS and all(len(row) == COLUMNS for row in cells)
        assert all(word in INDEX for row in cells for word in row)


@pytest.mark.parametrize("domain", DRAW)
def test_every_fact_can_be_asked_in_both_sets_of_phrasings(domain: str) -> None:
    rng = random.Random(0)
    for seed in SEEDS:
        for fact in DRAW[domain](random.Random(seed)).facts:
            for held_out in (False, True):
                question = ask(fact, rng, held_out=held_out)
                assert all(value in question for value in fact.slots.values())


def test_phrasings_for_evaluation_are_not_trained_on() -> None:
    assert TRAINING.keys() == HELD_OUT.keys()
    for kind in TRAINING:
        assert not set(TRAINING[kind]) & set(HELD_OUT[kind])


def test_a_forms_answer_stands_in_the_row_of_its_key() -> None:
    for seed in SEEDS:
        sample = draw_form(random.Random(seed))
        for fact in sample.facts:
            if fact.kind != "read":
                continue
            (row,) = [row for row in sample.cells if fact.slots["key"] in row]
            rest = row[row.index(fact.slots["key"]) :]
            words = [w for w in rest if w and w != fact.slots["key"]]
            spelled = "".join(words) if fact.answer.isdigit() else words[0]
            assert spelled == fact.answer


def test_a_bar_is_as_high_as_its_value() -> None:
    for seed in SEEDS:
        sample = draw_chart(random.Random(seed))
        pixels = np.asarray(sample.image).astype(int)
        for fact in sample.facts:
            if fact.kind == "value_colour" and fact.slots["colour"] != "black":  # as ink may be
                near = np.abs(pixels - COLOURS[fact.slots["colour"]]).max(-1) <= 15
                height = near.sum(0).max() / SCALE
                assert abs(height / UNIT - int(fact.answer)) < 0.3


def test_counts_and_places_agree_with_the_cells() -> None:
    for seed in SEEDS:
        sample = draw_shapes(random.Random(seed))
        drawn = [word for row in sample.cells for word in row]
        for fact in sample.facts:
            if fact.kind == "count":
                assert drawn.count(fact.slots["shape"]) == int(fact.answer)
            if fact.kind == "where":
                assert fact.answer.split()[0] in drawn


def test_places_are_named_by_thirds() -> None:
    assert place_name(10, 10) == ("top", "left")
    assert place_name(112, 112) == ("middle", "center")
    assert place_name(223, 223) == ("bottom", "right")


def test_a_picture_comes_with_its_class(tmp_path) -> None:
    (tmp_path / "bird").mkdir()
    Image.new("RGBA", (30, 20), (200, 30, 30, 255)).save(tmp_path / "bird" / "one.png")
    sample = draw_picture(random.Random(1), PictureSet.from_folder(tmp_path))
    assert sample.facts[0].answer == "bird"
    assert {word for row in sample.cells for word in row} == {"bird", "picture"}
    drawn = (np.asarray(sample.image) == (200, 30, 30)).all(-1)
    assert 0.3 < drawn.mean() < 0.7

"""Nano's training data: answers stand in the exact words, and items follow from the seed."""

from __future__ import annotations

import importlib
import random
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from openmova.data.formats import read_samples
from openmova.errors import UserError
from openmova.experts.text_marks import MARK
from studies.nano.data.documents import Column, Table, rows, with_names
from studies.nano.data.effects import place, tilted
from studies.nano.data.phrases import PHRASES
from studies.nano.data.record import PICTURES, SAMPLES, Item, Question, Word, read, write
from studies.nano.data.tasks import TASKS, UNKNOWN, experts
from studies.nano.said import animal_names, location_row

pytest.importorskip("faker", reason="the data is made with faker: pip install -e '.[nano-data]'")
UNREAD = {"missing", "summary", "describe", "kind", "choice", "layout", "unanswerable"}
"""Tasks whose answers need not stand in the picture or text."""


def maker(kind: str) -> Callable[[random.Random], Item]:
    make = importlib.import_module(f"studies.nano.data.{kind}").make

    def made(rng: random.Random) -> Item:
        try:
            item = make(rng)
        except UserError as error:
            pytest.skip(str(error))
        assert isinstance(item, Item)
        return item

    return made


def plain(text: str) -> str:
    """Small letters and digits, without accents: what a reader's slips leave as it is."""
    parts = unicodedata.normalize("NFD", text)
    return re.sub(r"[\W_]", "", "".join(c for c in parts if not unicodedata.combining(c))).lower()


def test_every_task_has_thirty_phrasings() -> None:
    from studies.nano.data.routing import task_of

    count = Counter(task_of(key) for key in PHRASES for _ in set(PHRASES[key]))
    assert count.keys() | {"missing"} == TASKS.keys()
    assert {task: n for task, n in count.items() if n < 30} == {}


def test_answers_stand_in_the_text() -> None:
    make = maker("text")
    for seed in range(60):
        item = make(random.Random(seed))
        assert item.text and item.questions
        for question in item.questions:
            if question.task == "missing":
                assert question.answer == UNKNOWN
            elif question.task not in UNREAD:
                assert plain(question.answer) in plain(item.text), (seed, question)


def test_a_menu_with_a_mark_is_asked_for_its_line() -> None:
    sheets = importlib.import_module("studies.nano.data.sheets")
    rows = importlib.import_module("studies.nano.data.documents").rows
    words = importlib.import_module("studies.nano.data.words").Words
    marked = 0
    for seed in range(100):
        menu = sheets.menu(words(random.Random(seed)))
        assert all(MARK not in ask.answer for ask in menu.asks)
        for line in (line for row in rows(menu.blocks) for line in row if line.startswith(MARK)):
            assert sum(line.startswith(MARK + ask.answer) for ask in menu.asks) >= 3
            marked += 1
    assert 50 < marked < 100


def test_numbers_of_a_table_stand_beside_their_heads() -> None:
    table = Table(
        (Column("", "Item", "item"), Column("", "Qty", "quantity"), Column("", "Price", "price")),
        (("Soap", "2", "1.50"), ("Tea", "", "4.20")),
    )
    full = replace(table, rows=table.rows[:1])
    assert rows(with_names((full,))) == [
        ("Item", "Qty", "Price"),
        ("Soap | Qty: 2 | Price: 1.50",),
    ]
    assert with_names((table,)) == (table,)  # a row of one number is no table to the expert
    assert with_names((replace(full, header=False),)) == (replace(full, header=False),)


def test_what_the_location_expert_may_say_bears_its_answers() -> None:
    sums = 0
    for seed in range(300):
        said, turns = location_row(random.Random(seed))
        counts = {name: int(n) for n, name in re.findall(r"(\d+) ([^,\n]+)", said.split("\n")[0])}
        animals = sum(n for name, n in counts.items() if name in animal_names())
        assert ("animals: " in said) == (animals > 1)
        for question, answer in turns:
            if re.search(r"\banimals\b", question) and answer.isdigit():
                sums += 1
                assert int(answer) == animals
    assert sums > 10


def test_the_same_seed_makes_the_same_item() -> None:
    make = maker("text")
    once, again = (make(random.Random("a")) for _ in range(2))
    other = make(random.Random("b"))
    assert once == again
    assert once.text != other.text


def number(rng: random.Random) -> Item:
    """An item that needs nothing."""
    text = str(rng.random())
    question = Question(task="kind", question="What?", answer=text)
    return Item(
        domain="d",
        source="s",
        licence="l",
        questions=(question, question),
        image=Image.new("RGB", (4, 4)),
    )


def test_a_killed_writer_goes_on(tmp_path: Path) -> None:
    write("k", number, tmp_path / "whole", count=5, seed=3)
    torn = tmp_path / "torn"
    write("k", number, torn, count=3, seed=3)
    # Killed amid the fourth item: its questions are written, its last line is not whole.
    lines = (tmp_path / "whole" / SAMPLES).read_text().splitlines(keepends=True)
    with (torn / SAMPLES).open("a") as file:
        file.write(lines[6])
        file.write(lines[7][:30])
    assert write("k", number, torn, count=5, seed=3) == 2
    for name in (SAMPLES, PICTURES):
        assert (torn / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_training_reads_what_is_written(tmp_path: Path) -> None:
    write("k", number, tmp_path / "pictures", count=2, seed=0)
    write("text", maker("text"), tmp_path / "text", count=2, seed=0)
    pictures = read_samples(tmp_path / "pictures" / SAMPLES)
    assert len(pictures) == 4
    assert pictures[0].open().image.size == (4, 4)
    assert pictures[0].experts == ("image_type",)
    texts = read_samples(tmp_path / "text" / SAMPLES)
    record = next(read(tmp_path / "text" / SAMPLES))
    assert texts[0].turns[0].text == f"{record['text']}\n\n{record['qa'][0]['question']}"
    assert texts[0].turns[-1].text == record["qa"][-1]["answer"]


def test_words_move_with_the_picture() -> None:
    image = Image.new("RGB", (100, 60), "white")
    image.paste("red", (30, 20, 50, 40))
    background = Image.new("RGB", (200, 160), "white")
    word = Word(text="red", box=(30, 20, 50, 40))
    corners = tilted(100, 60, 50, 50, random.Random(4), 0.08)
    placed, (moved,) = place(image, (word,), background, corners)
    red = np.argwhere(np.asarray(placed)[..., 1] < 100)
    top, left = red.min(0)
    bottom, right = red.max(0) + 1
    assert np.abs(np.array(moved.box) - (left, top, right, bottom)).max() < 2.5
    assert moved.box != word.box


@pytest.mark.parametrize("library", ["matplotlib", "seaborn", "plotnine", "altair", "gnuplot"])
def test_marks_lie_where_their_values_are(library: str) -> None:
    if library == "gnuplot" and shutil.which(library) is None:
        pytest.skip("the program gnuplot is missing")
    if library != "gnuplot":
        pytest.importorskip(library)
    from studies.nano.data.chart_libraries import LIBRARIES
    from studies.nano.data.charts import draw_spec

    (chosen,) = (entry for entry in LIBRARIES if entry.name == library)
    checked = 0
    for seed in range(40):
        rng = random.Random(seed)
        spec = draw_spec(rng)
        if spec.kind not in chosen.kinds or spec.kind in ("pie", "scatter"):
            continue
        drawn = chosen.draw(spec, rng)
        marks = drawn.geometry["marks"]
        values = np.array([mark["value"] for mark in marks])
        at = np.array([mark["x" if spec.kind == "barh" else "y"] for mark in marks])
        assert len(marks) == len(spec.labels) * max(1, len(spec.series))
        if np.ptp(values) > 0:
            # An axis is linear, and larger values stand higher or further right.
            slope, start = np.polyfit(values, at, 1)
            assert np.abs(slope * values + start - at).max() < 1
            assert slope > 0 if spec.kind == "barh" else slope < 0
        left, top, right, bottom = drawn.geometry["plot"]
        for mark in marks:
            assert left - 1 <= mark["x"] <= right + 1
            assert top - 1 <= mark["y"] <= bottom + 1
        checked += 1
        if checked == 3:
            break
    assert checked == 3


def test_chart_questions_follow_from_the_values() -> None:
    from studies.nano.data.charts import draw_spec, questions

    seen: Counter[str] = Counter()
    for seed in range(150):
        rng = random.Random(seed)
        spec = draw_spec(rng)
        for q in questions(spec, rng):
            seen[q.task] += 1
            if q.task == "chart-largest":
                assert spec.values[0][spec.labels.index(q.answer)] == max(spec.values[0])
            if q.task == "chart-smallest":
                assert spec.values[0][spec.labels.index(q.answer)] == min(spec.values[0])
            if q.task == "chart-count":
                assert q.answer == str(len(spec.labels))
            if q.task == "chart-value":
                assert q.answer in {spec.written(v) for row in spec.values for v in row}
    assert min(seen[t] for t in ("chart-value", "chart-largest", "chart-smallest")) > 5


@pytest.mark.parametrize("kind", ["receipts", "screens", "reports"])
def test_a_rendered_page_holds_the_answers(kind: str) -> None:
    make = maker(kind)
    for seed in (11, 12):
        item = make(random.Random(seed))
        assert item.image is not None and item.words
        text = plain(" ".join(word.text for word in item.words))
        for question in item.questions:
            if question.task not in UNREAD:
                assert plain(question.answer) in text, question
        for word in item.words:
            assert word.box[0] < word.box[2] and word.box[1] < word.box[3]


def test_a_pdf_gives_its_words_and_questions(tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("the program pdftotext is missing")
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(6, 8))
    for place_, text, size in (
        (0.9, "The Great Oak", 20), (0.8, "An acorn is the fruit of the oak.", 10),
        (0.7, "Trees grow slowly in cold and windy places.", 10), (0.03, "17", 10),
    ):  # fmt: skip
        figure.text(0.1, place_, text, size=size)
    file = tmp_path / "oak.pdf"
    figure.savefig(file)
    from studies.nano.data.pages import picture_of, questions, text_of

    text = text_of(file, 1)
    assert text.lines[0].text == "The Great Oak"
    image = picture_of(file, 1, 800)
    assert max(image.size) == 800
    # Every word's box has ink.
    scale = image.height / text.size[1]
    for line in text.lines:
        for word in line.words:
            box = [round(x * scale) for x in word.box]
            assert np.asarray(image.crop(box)).min() < 100, word
    found: dict[str, Any] = {}
    for seed in range(20):
        for q in questions(text, random.Random(seed), 5, picture=True):
            found[q.task] = q.answer
    assert found["page-number"] == "17"
    assert found["heading"] == "The Great Oak"
    assert found["prose"] == "the fruit of the oak"


@pytest.mark.parametrize("kind", ["photos", "places", "signs"])
def test_a_photo_has_what_is_asked_for(kind: str) -> None:
    make = maker(kind)
    for seed in range(8):
        item = make(random.Random(seed))
        assert item.image is not None
        width, height = item.image.size
        counted = Counter(coco for _, coco, *_ in item.truth.get("objects", ()))
        for question in item.questions:
            if question.task == "count":
                assert int(question.answer) in (*counted.values(), 0)
            if question.task == "object":
                assert question.answer in {name for name, *_ in item.truth["objects"]}
            if question.task == "where":
                ((*_, left, top, right, bottom),) = item.truth["objects"]
                x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
                assert ("left" in question.answer) == (x < 0.36)
                assert ("bottom" in question.answer) == (y > 0.64)
            if question.task == "sign":
                words = " ".join(word.text for word in item.words or ())
                assert question.answer == words


def test_the_gallery_has_every_kind_and_nothing_that_is_held_out() -> None:
    from studies.nano.data import gallery

    kinds = {source.kind for source in gallery.SOURCES}
    assert kinds >= {*gallery.CHARTS, "painting", "photo", "map", "diagram", "screenshot", "logo"}
    suite = Path("suites/real/packages.tsv").read_text(encoding="utf-8").splitlines()[1:]
    held_out = {re.split(":|==", line.split("\t")[1])[1] for line in suite}
    assert len(held_out) > 20
    assert not held_out & {source.package for source in gallery.SOURCES}
    assert not [s.package for s in gallery.SOURCES if s.package.startswith(("r-", "gimp-help"))]


def test_routing_names_the_experts() -> None:
    make = maker("routing")
    for seed in range(50):
        (question,) = make(random.Random(seed)).questions
        assert question.answer == (", ".join(experts(question.task)) or "none")
        assert "{" not in question.question

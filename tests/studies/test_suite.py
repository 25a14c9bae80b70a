"""The held-out questions about real pictures: well formed, and counted as they should be."""

from __future__ import annotations

import gzip
import json
import random
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from inference.asking import CALIBRATION, tiny_mova
from openmova.errors import UserError
from openmova.evaluate.suites import SuiteOptions
from openmova.runtime.run_store import Journal
from studies.nano import suite
from studies.nano.calibration import read_answers
from studies.nano.data.record import Item
from studies.nano.data.record import Question as ItemQuestion
from studies.nano.pictures import open_picture
from studies.nano.rcc import read_resource, resources
from studies.nano.suite import EXPERTS, Question, constant_answers, draw, load_questions
from tiny import pictures

EXAMPLES = Path(__file__).parents[2] / "examples"


def question(**changes: object) -> Question:
    fields = {
        "picture": "zoo/dog",
        "group": "object",
        "form": "name",
        "question": "What animal is this?",
        "answers": ("dog", "hound"),
        "package": "debian:zoo",
        "place": "dog.png",
    }
    return Question(**{**fields, **changes})


def test_every_group_has_enough_questions() -> None:
    counts = Counter(q.group for q in load_questions())
    assert set(counts) == set(suite.GROUPS) and min(counts.values()) >= 15


def test_every_question_accepts_its_own_answers_and_no_two_are_the_same() -> None:
    questions = load_questions()
    assert len({(q.picture, q.question) for q in questions}) == len(questions)
    for q in questions:
        accepted = q.answers if q.tolerance is None else q.answers[:1]
        assert all(q.is_said(answer) for answer in accepted), q
        assert not q.is_said("") and not q.is_said("zebra finch"), q
        assert q.form in EXPERTS and bool(q.answers) == (q.group != "none")
        assert (q.tolerance is not None) == (q.form == "value")


def test_the_demo_shows_none_of_the_suites_pictures() -> None:
    files = {q.place.split("#")[0].rsplit("/", 1)[-1] for q in load_questions()}
    notes = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert not [name for name in files if f"`{name}`" in notes]


def test_the_demos_questions_have_pictures_and_answers_that_count() -> None:
    entries = json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))
    assert len(entries) >= 28 and len({e["image"] for e in entries}) >= 14
    assert sum(f.stat().st_size for f in EXAMPLES.iterdir()) < 2_500_000
    for entry in entries:
        assert (EXAMPLES / entry["image"]).stat().st_size <= 250_000
        assert suite.judge(
            entry["expected"],
            [entry["expected"], *entry["accepted"]],
            tolerance=entry.get("tolerance"),
        )


def test_the_seed_draws_so_many_of_each_group() -> None:
    questions = load_questions()
    first, again, other = (draw(questions, seed, 5) for seed in (3, 3, 4))
    assert first == again != other
    assert Counter(q.group for q in first) == dict.fromkeys(suite.GROUPS, 5)
    assert len(draw(questions, 0, 10_000)) == len(questions)


def test_the_best_constant_is_that_of_the_group() -> None:
    asked = [
        question(),
        question(answers=("hound",)),
        question(answers=("cat",)),
        question(group="none", form="identity", answers=()),
    ]
    assert constant_answers(asked) == [True, True, False, False]
    assert not asked[-1].is_said("Rex") and not asked[-1].is_said("I can't tell.")


def make_item(rng: random.Random) -> Item:
    """A generated picture with one question."""
    answer = str(rng.random())
    asked = ItemQuestion(task="chart-value", question="How much is it?", answer=answer)
    truth = {"chart": {"range": [0, 40]}}
    return Item(
        domain="chart", source="here", licence="", questions=(asked,), image=pictures(1)[0],
        truth=truth,
    )  # fmt: skip


def test_generated_questions_are_the_seeds_and_allow_a_twentieth_of_the_axis(
    asked: list[Question],
) -> None:
    first, again, other = (suite.generate("made", seed, 3) for seed in (1, 1, 2))
    assert [q.answers for q in first] == [q.answers for q in again]
    assert len({q.answers for q in (*first, *other)}) == 6
    assert all(q.tolerance == 2 and q.experts == {"chart"} for q in first)
    assert all(q.open().size == pictures(1)[0].size for q in first)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """Four questions about a picture of ours, one of them of a package that can't be had; of two
    generators one can't be run."""

    def unpack(source: str) -> Path:
        if source == "debian:gone":
            raise UserError("the package gone can't be had")
        return tmp_path

    pictures(1)[0].save(tmp_path / "dog.png")
    questions = [
        question(),
        question(group="kind", form="image", question="What is it?", answers=("photo",)),
        question(group="none", form="identity", question="Who is it?", answers=()),
        question(package="debian:gone", picture="gone/dog"),
    ]
    monkeypatch.setattr(suite, "GENERATED", {"made": "fake", "lacking": "absent"})
    monkeypatch.setitem(sys.modules, "studies.nano.data.fake", SimpleNamespace(make=make_item))
    monkeypatch.setattr(suite, "unpack", unpack)
    monkeypatch.setattr(suite, "load_questions", lambda: questions)
    return questions


def test_a_report_has_every_figure_and_a_stopped_run_goes_on(
    asked: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SuiteOptions(seed=1, n=2, batch=2)
    mova = tiny_mova(confidence=CALIBRATION)
    ask_batch, batches = mova.ask_batch, list[int]()

    def stopping(pairs: list[Any], **options: Any) -> Any:
        batches.append(len(pairs))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return ask_batch(pairs, **options)

    monkeypatch.setattr(mova, "ask_batch", stopping)
    with Journal.opened(tmp_path / "run", {}) as journal, pytest.raises(KeyboardInterrupt):
        suite.measure(lambda: mova, journal, options)
    with Journal.opened(tmp_path / "run", {}) as journal:
        report = suite.measure(lambda: mova, journal, options)
    assert batches == [1, 2, 2, 1, 1, 1, 2, 2, 1, 2, 2, 1]
    with Journal.opened(tmp_path / "run", {}) as journal:
        assert suite.measure(lambda: pytest.fail("loaded"), journal, options) == report
    assert (report["suite"], report["seed"], report["n"]) == ("nano", 1, 5)
    assert report["missing"].pop("lacking").startswith("No module named")
    assert report["missing"] == {"debian:gone": "the package gone can't be had"}
    assert list(report["domains"]) == ["object", "kind", "none", "made", "overall"]
    for shares in report["domains"].values():
        assert shares.keys() == set(suite.FIGURES)
        for share in shares.values():
            assert 0 <= share["ci95"][0] <= share["value"] <= share["ci95"][1] <= 1
    assert report["domains"]["overall"]["routed"]["n"] == 3
    assert 0 <= report["ece"] <= 1
    assert report["seconds"].keys() == suite.MODES.keys()
    console = Console(record=True, width=160)
    suite.show(console, report)
    assert "routing accuracy" in (told := console.export_text())
    assert "left out: debian:gone" in told
    rows = (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert read_answers([tmp_path / "run" / "samples.jsonl"]).features.shape == (5, 4)
    assert len(rows) == 15


def test_a_report_counts_answers_doubts_and_experts(
    asked: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    said = {"routed": ("A dog.", "page"), "base_only": ("cat", "photo"), "all_experts": ("dog", "")}
    for mode, texts in said.items():
        for q, text in zip(asked, (*texts, "Rex"), strict=False):
            row = {
                "expected": list(q.answers),
                "right": q.is_said(text),
                "doubts": mode == "routed",
                "confidence": 0.8 if q.is_said(text) else 0.2,
                "experts": ["object"],
                "model_seconds": 0.5,
            }
            journal.add({f"{mode}/{q.picture}/{q.question}": row})
    options = SuiteOptions(seed=0, n=1, batch=4)
    monkeypatch.setattr(suite, "GENERATED", {})
    asked.pop()
    report = suite.measure(lambda: tiny_mova(), journal, options)
    value = {
        group: {name: share["value"] for name, share in shares.items()}
        for group, shares in report["domains"].items()
    }
    assert value["object"] == {
        "routed": 1, "base_only": 0, "all_experts": 1, "majority": 1, "routing_accuracy": 1,
    }  # fmt: skip
    assert value["kind"] == {
        "routed": 0, "base_only": 1, "all_experts": 0, "majority": 1, "routing_accuracy": 0,
    }  # fmt: skip
    assert (value["none"]["routed"], value["none"]["base_only"]) == (1, 0)
    assert report["gain_over_base"] == 1
    assert report["ece"] == pytest.approx(0.2)
    assert report["forms"]["name"]["n"] == report["sources"]["object of zoo"]["n"] == 1


def test_a_file_inside_a_qt_resource_is_read(tmp_path: Path) -> None:
    names = b""
    offsets = []
    for name in ("zoo", "dog.txt", "cat.txt"):
        offsets.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    plain, squeezed = b"woof", struct.pack(">I", 4) + zlib.compress(b"miaw")
    data = b"".join(struct.pack(">I", len(part)) + part for part in (plain, squeezed))
    nodes = [
        struct.pack(">IHIIQ", 0, 2, 1, 1, 0),  # the root: one child, node 1
        struct.pack(">IHIIQ", offsets[0], 2, 2, 2, 0),
        struct.pack(">IHIIQ", offsets[1], 0, 0, 0, 0),
        struct.pack(">IHIIQ", offsets[2], 1, 0, 4 + len(plain), 0),
    ]
    tree = b"".join(nodes)
    header = b"qres" + struct.pack(">4I", 2, 20, 20 + len(tree), 20 + len(tree) + len(data))
    file = tmp_path / "zoo.rcc"
    file.write_bytes(header + tree + data + names)
    assert dict(resources(file)) == {"zoo/dog.txt": b"woof", "zoo/cat.txt": b"miaw"}
    assert read_resource(file, "zoo/cat.txt") == b"miaw"
    with pytest.raises(UserError, match="has no zoo/cow"):
        read_resource(file, "zoo/cow.txt")


def test_a_slice_of_a_volume_is_upright_and_full_of_contrast(tmp_path: Path) -> None:
    volume = np.zeros((2, 3, 4), np.int16)  # depth, rows from below, columns
    volume[1, 0, 0] = 500
    head = bytearray(352)
    struct.pack_into("<4h", head, 40, 3, 4, 3, 2)
    struct.pack_into("<h", head, 70, 4)
    struct.pack_into("<f", head, 108, 352)
    (tmp_path / "brain.nii.gz").write_bytes(gzip.compress(bytes(head) + volume.tobytes()))
    picture = open_picture(tmp_path, "brain.nii.gz#1")
    assert picture.size == (4, 3)
    assert picture.getpixel((0, 2)) == (255, 255, 255)
    assert picture.getpixel((0, 0)) == (0, 0, 0)


def test_a_picture_that_is_not_in_the_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another version"):
        open_picture(tmp_path, "cat.png")

"""The held-out questions about real pictures: well formed, and counted as they should be."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openmova.errors import UserError
from studies.nano import suite
from studies.nano.pictures import open_picture
from studies.nano.rcc import read_resource, resources
from studies.nano.suite import EXPERTS, Question, Reply, constant_answers, load_questions, run

LEAST = {
    "object": 60,
    "reading": 70,
    "chart": 50,
    "place": 50,
    "kind": 40,
    "two": 20,
    "none": 15,
}
REAL = Path(__file__).parents[2] / "examples" / "real"


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
    assert set(counts) == set(suite.GROUPS)
    assert all(counts[group] >= least for group, least in LEAST.items())


def test_every_question_accepts_its_own_answers_and_no_two_are_the_same() -> None:
    questions = load_questions()
    assert len({(q.picture, q.question) for q in questions}) == len(questions)
    for q in questions:
        accepted = q.answers if q.tolerance is None else q.answers[:1]
        assert all(q.is_right(Reply(text=answer)) for answer in accepted), q
        assert not q.is_right(Reply(text="")) and not q.is_right(Reply(text="zebra finch")), q
        assert q.form in EXPERTS and bool(q.answers) == (q.group != "none")
        assert (q.tolerance is not None) == (q.form == "value")


def test_the_demo_shows_none_of_the_suites_pictures() -> None:
    files = {q.place.split("#")[0].rsplit("/", 1)[-1] for q in load_questions()}
    notes = (REAL / "README.md").read_text(encoding="utf-8")
    assert not [name for name in files if f"`{name}`" in notes]


def test_the_demos_questions_have_pictures_and_answers_that_count() -> None:
    entries = json.loads((REAL / "questions.json").read_text(encoding="utf-8"))
    assert len(entries) >= 28 and len({e["image"] for e in entries}) >= 14
    assert sum(f.stat().st_size for f in REAL.iterdir()) < 2_500_000
    for entry in entries:
        assert (REAL / entry["image"]).stat().st_size <= 250_000
        assert suite.judge(
            entry["expected"],
            [entry["expected"], *entry["accepted"]],
            tolerance=entry.get("tolerance"),
        )


def test_a_question_without_an_answer_wants_doubt() -> None:
    hopeless = question(group="none", form="identity", answers=())
    assert hopeless.is_right(Reply(text="I can't tell."))
    assert hopeless.is_right(Reply(text="Rex", confidence=0.2))
    assert not hopeless.is_right(Reply(text="Rex", confidence=0.9))
    assert not hopeless.is_right(Reply(text="Rex"))


def test_the_best_constant_is_that_of_the_group() -> None:
    asked = [
        question(),
        question(answers=("hound",)),
        question(answers=("cat",)),
        question(group="none", form="identity", answers=()),
    ]
    assert constant_answers(asked) == [True, True, False, False]


def test_a_report_counts_answers_routing_and_missing_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (8, 8), "brown").save(tmp_path / "dog.png")

    def unpack(source: str) -> Path:
        if source == "debian:gone":
            raise UserError("the package gone can't be had")
        return tmp_path

    monkeypatch.setattr(suite, "unpack", unpack)
    asked = [question(), question(group="kind", form="image"), question(package="debian:gone")]
    report = run(lambda picture, text: Reply(text="A dog.", experts=("object",)), asked)
    assert report["missing"] == {"debian:gone": "the package gone can't be had"}
    assert report["groups"]["object"]["right"]["value"] == 1.0
    assert report["groups"]["object"]["routing"]["value"] == 1.0
    assert report["groups"]["kind"]["routing"]["value"] == 0.0
    assert report["groups"]["all"]["right"]["n"] == 2
    assert report["groups"]["place"] == {}
    assert (
        report["forms"]["name"]["right"]["n"]
        == report["packages"]["object of zoo"]["right"]["n"]
        == 1
    )


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

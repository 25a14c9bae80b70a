"""Nano's finetuning data: conversations that are what the generator knows of their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openmova.checkpoints.nano_spec import EXPERTS
from openmova.data.check import check
from openmova.data.formats import read_samples
from studies.toy import conversations
from studies.toy.conversations import NONE_SHARE, TURNS, write_conversations
from studies.toy.synthetic import PictureSet

PICTURES = PictureSet.from_folder(Path(__file__).parents[3] / "suites" / "nano" / "pictures")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversations, "COUNTS", dict.fromkeys(EXPERTS, 12))
        return write_conversations(folder, PICTURES, seed=3)


def test_every_sample_is_good_training_data(written: Path) -> None:
    report = check(read_samples(str(written)), experts=EXPERTS)
    assert report.looked_at == 12 * len(EXPERTS)
    assert not report.bad


def test_a_conversation_asks_each_fact_once_and_needs_one_set_of_experts(written: Path) -> None:
    for record in json.loads(written.read_text()):
        turns = [turn["value"] for turn in record["conversations"]]
        assert 2 <= len(turns) <= 2 * TURNS
        assert len(set(turns[::2])) == len(turns[::2])
        assert set(record["experts"]) <= set(EXPERTS)


def test_some_conversations_need_no_expert_and_some_need_two(written: Path) -> None:
    experts = [len(record["experts"]) for record in json.loads(written.read_text())]
    assert 0 < experts.count(0) / len(experts) < 3 * NONE_SHARE
    assert experts.count(2)


def test_what_is_there_is_not_drawn_again(written: Path) -> None:
    before = written.stat().st_mtime_ns
    write_conversations(written.parent, PICTURES, seed=4)
    assert written.stat().st_mtime_ns == before


def test_yes_and_no_are_asked_for_equally_often(written: Path) -> None:
    answers = [
        turn["value"]
        for record in json.loads(written.read_text())
        for turn in record["conversations"][1::2]
    ]
    assert answers.count("yes") == answers.count("no") > 0

"""Training of the variants: a file each, whole, that says what it was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nano_shaped import random_encoded, write_untrained
from openmova.errors import UserError
from studies.claims import training as run
from studies.claims.encoders import FILE, read_encoders, write_encoders
from studies.claims.training import (
    Task,
    built,
    check_steps,
    finished,
    load_variant,
    missing,
    seconds_of_a_step,
    train_variant,
    variant_file,
)
from studies.toy.loop import read_metadata
from studies.toy.synthetic.words import WORDS


class Stopped(Exception):
    pass


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr(run, "BATCH", 4)
    random = torch.Generator().manual_seed(1)

    def gate(questions: list[str]) -> torch.Tensor:
        return torch.stack([torch.full((384,), len(q) / 50) for q in questions])

    return Task(
        data=random_encoded(8),
        targets=torch.randn(len(WORDS), 576, generator=random),
        gate=gate,  # type: ignore[arg-type]
        steps=3,
    )


def test_a_finished_variant_says_what_it_was_trained_on(tmp_path: Path, task: Task) -> None:
    write_untrained(tmp_path, [], [])
    train_variant(tmp_path, "text", 2, task)
    about = read_metadata(variant_file(tmp_path, "text", 2))
    told = {key: about[key] for key in ("variant", "seed", "steps", "batch", "images")}
    assert told == {"variant": "text", "seed": "2", "steps": "3", "batch": "4", "images": "8"}
    assert int(about["parameters"]) > 1_000_000
    assert finished(tmp_path) == {"text": [2]}
    assert missing(tmp_path, ["base", "text"], [1, 2]) == [("base", 1), ("text", 1), ("base", 2)]
    assert not load_variant(tmp_path, "text", 2).training


def test_training_that_was_stopped_ends_with_the_same_weights(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_variant(tmp_path / "whole", "linear", 1, task)
    original, calls = run.align, list[int]()

    def stopping(*args: object, **options: object) -> None:
        options["steps"] = 2
        original(*args, **options)  # type: ignore[arg-type]
        calls.append(1)
        raise Stopped

    monkeypatch.setattr(run, "align", stopping)
    with pytest.raises(Stopped):
        train_variant(tmp_path / "broken", "linear", 1, task)
    assert not variant_file(tmp_path / "broken", "linear", 1).exists()
    monkeypatch.undo()
    monkeypatch.setattr(run, "BATCH", 4)
    train_variant(tmp_path / "broken", "linear", 1, task)
    whole = load_variant(tmp_path / "whole", "linear", 1).state_dict()
    broken = load_variant(tmp_path / "broken", "linear", 1).state_dict()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_the_slow_gate_is_movas_and_moves_less(tmp_path: Path, task: Task) -> None:
    began = built("mova", 1).state_dict()
    moved = {}
    for name in ("mova", "slow-gate"):
        train_variant(tmp_path, name, 1, task)
        ended = load_variant(tmp_path, name, 1).state_dict()
        moved[name] = {key: (ended[key] - began[key]).abs().mean() for key in ended}
    gate, other = "adapter.blocks.1.gate.hidden.weight", "adapter.blocks.1.mlp.up_proj.weight"
    assert moved["slow-gate"][gate] < 0.2 * moved["mova"][gate]
    assert moved["slow-gate"][other] > 0.5 * moved["mova"][other]


def test_how_long_a_step_takes_is_measured(task: Task) -> None:
    assert seconds_of_a_step(["base"], task)["base"] > 0


def test_without_variants_it_says_how_to_train_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m studies\.claims"):
        finished(tmp_path)


def test_variants_of_other_steps_are_refused(tmp_path: Path) -> None:
    write_untrained(tmp_path, ["base"], [1])
    check_steps(tmp_path, 0)
    with pytest.raises(UserError, match=r"base-1\.safetensors was trained for 0 steps"):
        check_steps(tmp_path, 400)


def test_encoders_are_read_as_they_were_written_and_others_are_refused(tmp_path: Path) -> None:
    write_untrained(tmp_path, [], [])
    file = tmp_path / FILE
    written = file.read_bytes()
    base, experts = read_encoders(file)
    write_encoders(base, experts, file)
    assert file.read_bytes() == written
    assert not any(p.requires_grad for module in (base, *experts) for p in module.parameters())
    with torch.no_grad():
        next(experts[1].parameters()).add_(1)
    with pytest.raises(UserError, match="variants of other encoders"):
        write_encoders(base, experts, file)

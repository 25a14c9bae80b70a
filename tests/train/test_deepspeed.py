"""A configuration of DeepSpeed is passed on to Trainer, or refused with one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.train import deepspeed, trainer
from openmova.train.recipe import load_recipe
from train.runs import SMOKE


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: object())


def written(folder: Path, **content: Any) -> Path:
    path = folder / "deepspeed.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 2}, **content}))
    return path


def test_the_file_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(trainer, "TrainingArguments", lambda **given: given)
    settings: Any = trainer.arguments(load_recipe(SMOKE, [f"deepspeed={path}"]), tmp_path, 4)
    assert settings["deepspeed"] == str(path)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pip install deepspeed, or take sharding: fsdp"):
        deepspeed.deepspeed_file(str(written(tmp_path)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"optimizer": {"type": "Adam"}}, "sets optimizer, and so does the recipe"),
        ({"zero_optimization": {"stage": 3}}, "take stage 2, or the recipe's sharding: fsdp"),
    ],
)
def test_what_does_not_fit_a_run_is_refused(
    tmp_path: Path, installed: None, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        deepspeed.deepspeed_file(str(written(tmp_path, **content)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path, installed: None) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json' can't be read"):
        deepspeed.deepspeed_file("nowhere.json")

"""A configuration of DeepSpeed is passed on to accelerate, or refused with one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.train import deepspeed
from openmova.train.training_recipe import load_recipe
from train.runs import SMOKE


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: object())


def written(folder: Path, **content: Any) -> Path:
    path = folder / "deepspeed.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 2}, **content}))
    return path


def plugin(path: Path) -> Any:
    changes = [f"deepspeed={path}", "batch=2", "accumulation=3", "clip=0.5"]
    return deepspeed.deepspeed_plugin(load_recipe(SMOKE, changes))


def test_the_file_is_passed_on_with_the_recipe_s_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    monkeypatch.setattr(deepspeed, "DeepSpeedPlugin", lambda *, hf_ds_config: hf_ds_config)
    assert plugin(written(tmp_path, steps_per_print=7, gradient_clipping="auto")) == {
        "zero_optimization": {"stage": 2},
        "steps_per_print": 7,
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 3,
        "gradient_clipping": 0.5,
    }


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pip install deepspeed, or take sharding: fsdp"):
        plugin(written(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"optimizer": {"type": "Adam"}}, "sets optimizer, and so does the recipe"),
        ({"zero_optimization": {"stage": 3}}, "take stage 2, or the recipe's sharding: fsdp"),
        (None, r"nowhere\.json' can't be read"),
    ],
)
def test_what_does_not_fit_a_run_is_refused(
    tmp_path: Path, installed: None, content: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        plugin(Path("nowhere.json") if content is None else written(tmp_path, **content))

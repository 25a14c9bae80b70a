"""openmova doctor: what a model needs and where it fits, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkpoints.tiny_release import published, write_release
from commands import mistake, output
from openmova.checkpoints.memory import measure
from openmova.checkpoints.sizes import RELEASE
from tiny import tiny_config, tiny_model

EXPERTS = ["dinov2", "vary", "codetr", "pix2struct", "deplot", "biomedclip", "sam"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)  # a call would fail


def report(model: str | Path, *arguments: str) -> dict[str, Any]:
    return json.loads(output("doctor", "--model", model, "--json", *arguments).splitlines()[-1])


def test_the_release_is_known_without_a_download() -> None:
    told = report(RELEASE)
    assert told["parameters"] == pytest.approx(11.6e9, rel=0.01)
    assert [part["name"] for part in told["parts"] if part["part"] == "expert"] == EXPERTS
    assert told["cache"] == {"tokens": 2048, "bytes": 2**28}
    assert told["fits"]["a GPU of 8 GiB"] == []
    assert told["fits"]["a GPU of 16 GiB"] == ["8bit+offload", "4bit", "4bit+offload"]
    assert told["fits"]["a GPU of 24 GiB"][0] == "bf16+offload"
    assert told["fits"]["a GPU of 48 GiB"][0] == "bf16"
    assert not any("offload" in way for way in told["fits"]["host memory"])


def test_a_folder_is_told_of_without_reading_its_weights(unread_folder: Path) -> None:
    told = report(unread_folder, "--tokens", "100")
    needs = measure(tiny_config(), tokens=100)
    assert told["parts"] == [
        {"name": p.name, "part": p.part, "parameters": p.parameters, "bytes": p.bytes}
        for p in needs.parts
    ]
    assert told["total_bytes"]["4bit+offload"] == needs.total("4bit", offload=True)
    assert told["machine"]["memory"]["host memory"] > 0
    assert set(told["machine"]["extras"]) == {"bitsandbytes", "torchao"}
    assert told["machine"]["products"] in ("bfloat16", "float32")


def test_a_release_that_is_not_converted_yet(tmp_path: Path) -> None:
    with published():
        told = report(write_release(tmp_path / "mova"))
    assert [part["name"] for part in told["parts"] if part["part"] == "expert"] == EXPERTS
    assert not list(tmp_path.glob("mova*/experts"))


def test_the_table_has_a_row_for_each_part(unread_folder: Path) -> None:
    table = output("doctor", "--model", unread_folder)
    for text in ("llama", "base", "adapter", "one", "two", "three", "--offload", "host memory"):
        assert text in table


def test_float32_checkpoints_are_told_of(unread_folder: Path) -> None:
    tiny_model().save_pretrained(unread_folder)
    assert "This checkpoint is in float32" in output("doctor", "--model", unread_folder)
    assert report(unread_folder)["dtype"] == "float32"


def test_what_the_experts_cost_is_told_on_demand(
    tiny_folder: str, unread_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))
    costs = report(tiny_folder, "--costs")["costs"]
    assert list(costs) == ["one", "two", "three"]
    assert 0 < costs["two"]["operations"] < costs["one"]["operations"]
    assert report(tiny_folder, "--costs")["costs"] == costs  # measured once
    assert "10^9 operations" in output("doctor", "--model", tiny_folder, "--costs")
    assert "give --model a checkpoint" in mistake("doctor", "--model", unread_folder, "--costs")


@pytest.mark.parametrize("name", ["nanoo", "/no/such/folder"])
def test_a_name_that_is_nothing(name: str) -> None:
    assert "there is no model" in mistake("doctor", "--model", name)


def test_memory_of_gpus_comes_first(unread_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        name, total_memory = "A100", 40 * 2**30

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: Gpu)
    told = report(unread_folder)
    assert list(told["machine"]["memory"]) == ["cuda:0 (A100)", "host memory"]
    assert told["fits"]["cuda:0 (A100)"][0] == "bf16"

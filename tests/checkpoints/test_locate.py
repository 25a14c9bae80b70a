"""What a user calls a model: found as a folder, embedded, on the hub, or told why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import fault
from openmova.checkpoints.locate import checkpoint_folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "openmova"}))
    for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def test_a_folder(checkpoint: Path) -> None:
    assert checkpoint_folder(checkpoint) == checkpoint
    assert checkpoint_folder(str(checkpoint)) == checkpoint


def test_a_folder_comes_before_an_embedded_model(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.rename(checkpoint.with_name("nano"))
    monkeypatch.chdir(checkpoint.parent)
    assert checkpoint_folder("nano") == Path("nano")


def test_nano_is_assembled(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openmova.checkpoints.nano.nano_folder", lambda: checkpoint)
    assert checkpoint_folder("nano") == checkpoint


@pytest.mark.parametrize("name", ["NANO", "llama", "a/b/c", "./no/such/folder", "a b/c"])
def test_unknown(name: str) -> None:
    told = fault(checkpoint_folder, name)
    assert "give nano, the folder of a checkpoint, or a repository of the hub" in told


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "could not be had from the hub" in fault(checkpoint_folder, "owner/no-such-model")


def test_hub_repository(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(checkpoint))
    assert checkpoint_folder("owner/name") == checkpoint


def test_a_file(checkpoint: Path) -> None:
    assert "is a file: give the folder" in fault(checkpoint_folder, checkpoint / "config.json")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.json", None, "is no checkpoint, it has no config.json"),
        *(("config.json", text, "not readable as JSON") for text in ("{", "[]", "\0")),
        ("config.json", '{"model_type": "llava"}', "of type 'llava', not 'openmova'"),
        ("config.json", '{"mm_projector_type": "mov_adapter"}', "openmova convert SRC DST"),
        *(
            (name, None, f"lacks {name}")
            for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors")
        ),
    ],
)
def test_a_folder_that_is_no_whole_checkpoint(
    checkpoint: Path, name: str, text: str | None, told: str
) -> None:
    (checkpoint / name).unlink()
    if text is not None:
        (checkpoint / name).write_text(text)
    assert told in fault(checkpoint_folder, checkpoint)

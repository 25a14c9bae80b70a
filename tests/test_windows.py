"""What a user runs goes by the rules that Windows has for files, consoles and modules."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

import windows
from commands import fault
from openmova.__main__ import main
from openmova.checkpoints.alignment import align_file
from openmova.data.bad_samples import BadSamples
from openmova.images.opening import load_image
from openmova.runtime.cache import build_once
from openmova.runtime.files import new_file, new_folder, write_text
from openmova.runtime.run_store import Journal
from openmova.train.collator import TrainDataset
from openmova.train.preparation import prepare
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    windows.enforce(monkeypatch)


@pytest.mark.usefixtures("rules")
def test_the_rules_are_those_of_windows(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "folder" / "file"
    folder.mkdir()
    with file.open("w"):
        with pytest.raises(PermissionError):
            file.unlink()
        with pytest.raises(PermissionError):
            folder.rename(tmp_path / "other")
    save_file({"a": torch.zeros(1000)}, file)
    mapped = load_file(file)
    with pytest.raises(PermissionError):
        (tmp_path / "new").replace(file)
    del mapped
    file.unlink()


@pytest.mark.usefixtures("rules")
def test_files_and_folders_are_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))
    for text in ("old", "new"):
        write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "new"
    entry = build_once("a/b", lambda folder: write_text(folder / "file", "whole"), 0)
    assert build_once("a/b", lambda folder: None, 0) == entry
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="half way"), new_folder(empty) as folder:
        (folder / "file").touch()
        raise ValueError("half way")
    with new_folder(empty) as folder, new_file(folder / "file") as unfinished:
        unfinished.touch()
    assert [path.name for path in empty.iterdir()] == ["file"]


@pytest.mark.usefixtures("rules")
def test_a_file_of_weights_is_replaced_when_nothing_maps_it(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(3.0), "b": torch.arange(5.0)}, file)
    align_file(file)
    assert load_file(file)["b"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("rules")
def test_a_run_is_kept_and_goes_on(tmp_path: Path) -> None:
    run(tmp_path, "steps=2", "save_steps=1", "keep=1")
    run(tmp_path, "steps=2", "save_steps=1", "keep=1")
    assert list((tmp_path / "final").glob("model*.safetensors"))
    with Journal.opened(tmp_path / "journal", {"seed": 1}) as journal:
        journal.complete({"one": 1}, lambda items: [{"made": 1}], batch=1, name="")
        journal.finish({"made": 1})


def test_what_prepares_samples_can_be_sent_to_another_process() -> None:
    """There, and on a Mac, a worker is not a fork."""
    setup = prepare(load_recipe(SMOKE, FAST))
    dataset = TrainDataset(setup.mixture, setup.collator, BadSamples())
    ids = [each[3].input_ids for each in (dataset, pickle.loads(pickle.dumps(dataset)))]
    assert ids[0] == ids[1]


def test_a_folder_in_place_of_a_picture_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "is a folder" in fault(load_image, tmp_path)


def test_an_answer_is_printed_where_its_characters_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="cp1252"))
    app = SimpleNamespace(app=lambda: print("5 €, 东京", flush=True))
    monkeypatch.setitem(sys.modules, "openmova.cli", app)
    main()
    assert buffer.getvalue().decode("cp1252").splitlines() == ["5 €, \\u4e1c\\u4eac"]

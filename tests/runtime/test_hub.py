"""The hub: what is fetched; the release, converted into the cache once, if the user says yes."""

from __future__ import annotations

import fnmatch
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checkpoints.tiny_release import published, write_release
from commands import fault
from openmova import Mova
from openmova.checkpoints.assemble import fetch, local
from openmova.checkpoints.encoders import read_encoder
from openmova.checkpoints.locate import DownloadNeedsYes, checkpoint_folder, converted_release
from openmova.checkpoints.mova_specs import RELEASED_ORDER
from openmova.checkpoints.recipe import Recipe
from openmova.cli.console import fetch_model
from openmova.runtime import hub
from openmova.runtime.files import size_text
from tiny import pictures

RELEASE = "zongzhuofan/llama3-mova-8b"


class Hub:
    """The hub as a folder of repositories; keeps account of what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots = folder / "snapshots"
        self.fetched: list[str] = []

    def add(self, repository: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self.folder / repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def snapshot_download(
        self, repository: str, *, allow_patterns: list[str], **options: Any
    ) -> str:
        target = self.snapshots / repository
        if options.get("local_files_only"):
            return str(target)
        for name in self.names(repository):
            if not (target / name).exists() and any(
                fnmatch.fnmatch(name, pattern) for pattern in allow_patterns
            ):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.folder / repository / name, target / name)
                self.fetched.append(name)
        return str(target)

    def model_info(self, repository: str, *, files_metadata: bool) -> Any:
        siblings = [
            SimpleNamespace(rfilename=name, size=(self.folder / repository / name).stat().st_size)
            for name in self.names(repository)
        ]
        return SimpleNamespace(siblings=siblings)

    def names(self, repository: str) -> list[str]:
        folder = self.folder / repository
        if not folder.is_dir():
            raise ConnectionError("no such repository")
        return [str(f.relative_to(folder)) for f in sorted(folder.rglob("*")) if f.is_file()]


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))
    there = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", there.snapshot_download)
    monkeypatch.setattr("huggingface_hub.model_info", there.model_info)
    return there


class TestWhatIsFetched:
    def test_of_a_model_that_is_run_data_only(self, online: Hub) -> None:
        online.add(
            "someone/model",
            {"config.json": b"{}", "model.safetensors": b"", "old.bin": b"", "code.py": b""},
        )
        folder = hub.download("someone/model")
        assert sorted(f.name for f in folder.iterdir()) == ["config.json", "model.safetensors"]

    @pytest.mark.parametrize(
        ("files", "fetched"),
        [
            (["model.safetensors", "pytorch_model.bin", "tf_model.h5", "a.py", "old/w.pth"], 1),
            (["pytorch_model-00001-of-00002.bin", "training_args.bin"], 1),
            (["model-1.safetensors", "model-2.safetensors", "whole.safetensors"], 2),
        ],
        ids=["safetensors before pickles", "pickles", "not two copies"],
    )
    def test_of_a_source_one_set_of_weights(
        self, online: Hub, files: list[str], fetched: int
    ) -> None:
        online.add("someone/encoder", dict.fromkeys(["config.json", *files], b""))
        hub.source_path("someone/encoder")
        assert online.fetched == ["config.json", *files[:fetched]]

    def test_a_file_or_folder_comes_first(self, tmp_path: Path) -> None:
        assert hub.source_path(str(tmp_path)) == tmp_path

    def test_without_the_hub_what_was_fetched_before(
        self, online: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(*_: object, **__: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("huggingface_hub.model_info", offline)
        assert hub.source_path("someone/encoder") == online.snapshots / "someone/encoder"

    def test_neither_here_nor_there(self, online: Hub) -> None:
        assert "could not be had from the hub" in fault(hub.download, "someone/nothing")
        assert "there is no file or folder" in fault(hub.source_path, "no/such/thing")


class TestTheRelease:
    """A tiny one."""

    @pytest.fixture(autouse=True)
    def there(self, online: Hub) -> Iterator[None]:
        write_release(online.folder / RELEASE)
        with published():
            yield

    def test_is_not_downloaded_before_a_yes(self, online: Hub) -> None:
        message = fault(checkpoint_folder, RELEASE)
        size = sum(f.stat().st_size for f in online.folder.rglob("*.*") if f.is_file())
        assert f"has to be downloaded ({size_text(size)})" in message
        assert "add --yes" in message
        assert set(online.fetched) == {"config.json"}

    def test_is_converted_once_and_answers(self, online: Hub) -> None:
        folder = checkpoint_folder(RELEASE, yes=True)
        mova = Mova.from_pretrained(folder, device="cpu")
        assert mova.experts == RELEASED_ORDER
        answer = mova.ask(pictures(1)[0], "what is", experts="vary,sam", max_new_tokens=2)
        assert answer.routing.experts == ("vary", "sam")
        shards = [name for name in online.fetched if name.endswith(".bin")]
        assert len(shards) == len(set(shards)) == 2
        online.fetched.clear()
        assert checkpoint_folder(RELEASE) == folder and online.fetched == []

    @pytest.mark.parametrize("said", ["y\n", "\n"])
    def test_a_person_is_asked_by_the_command_line_alone(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        with pytest.raises(DownloadNeedsYes, match="yes=True in Python"):
            checkpoint_folder(RELEASE)
        assert capsys.readouterr().err == ""
        if said == "\n":
            assert "nothing was downloaded" in fault(fetch_model, RELEASE)
        else:
            assert fetch_model(RELEASE) == converted_release(RELEASE)
        assert "Go on? [y/N]" in capsys.readouterr().err
        assert converted_release(RELEASE).is_dir() == (said == "y\n")

    def test_a_conversion_that_was_interrupted_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            name = "openmova.model.processing_mova.MovaProcessor.save_pretrained"
            patch.setattr(name, interrupted)
            checkpoint_folder(RELEASE, yes=True)
        target = converted_release(RELEASE)
        assert [path.name for path in target.parent.iterdir()] == [f"{target.name}.lock"]
        assert checkpoint_folder(RELEASE, yes=True) == target

    def test_its_encoders_are_parts_for_another_model(self) -> None:
        folder = local(RELEASE, yes=True)
        parts = read_encoder(folder, kind="codetr", name="codetr")
        assert "object detector" in parts.spec["descriptions"][0]
        parts.plan().check()

    def test_assembling_asks_before_anything_large_is_fetched(self, online: Hub) -> None:
        weights = {"config.json": b"{}", "model.safetensors": b"large"}
        for name in ("someone/language", "someone/bert", "someone/dinov2"):
            online.add(name, weights)
        recipe = Recipe.from_dict(
            {
                "language_model": "someone/language",
                "gate_text_encoder": "someone/bert",
                "base": {"source": "someone/dinov2"},
                "experts": [{"name": "vary", "source": RELEASE}],
            }
        )
        assert "add --yes" in fault(fetch, recipe)
        assert set(online.fetched) == {"config.json"}
        here = fetch(recipe, yes=True)
        assert Path(here.language_model) == online.snapshots / "someone/language"
        assert Path(here.experts[0].source) == converted_release(RELEASE)

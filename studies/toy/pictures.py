"""Stage 0: the pictures, from packages fetched by name; some are held out for the evaluation.

Debian: openclipart-png (public domain), tuxpaint-stamps-default (GPL-2: for training only).
npm: emoji-datasource-google (MIT; artwork Apache-2.0). Held out are the pictures that the
repository carries, ten of each class under free licences; their SOURCES.tsv says where each
is from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from openmova.errors import UserError
from openmova.runtime.assets import NANO_SUITE, asset_folder
from studies.toy.synthetic import PictureSet

SIDE = 224
PIXELS = 60_000_000
DEBIAN = ("openclipart-png", "tuxpaint-stamps-default")
EMOJI = "emoji-datasource-google@16.0.0"

# class: folders of openclipart, folders of the stamps, subcategories of the emoji
SOURCES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "bird": (["animals/birds"], ["animals/birds"], ["animal-bird"]),
    "insect": (["animals/bugs"], ["animals/insects"], ["animal-bug"]),
    "fish": (["animals/fish"], ["animals/fish"], []),
    "mammal": (["animals/mammals"], ["animals/mammals"], ["animal-mammal"]),
    "fruit": (["food/fruit"], ["food/fruit"], ["food-fruit"]),
    "dessert": (["food/desserts"], ["food/dessert"], ["food-sweet"]),
    "drink": (["food/beverages"], [], ["drink"]),
    "flower": (["plants/flowers"], ["plants/flowers"], ["plant-flower"]),
    "flag": (["signs_and_symbols/flags/**"], ["town/flags"], ["country-flag"]),
    "card": (["recreation/games/cards/**"], [], []),
    "clock": (["signs_and_symbols/clocks"], [], ["time"]),
    "building": (
        ["buildings/homes", "buildings"],
        ["town/houses", "town/monuments"],
        ["place-building", "place-religious"],
    ),
    "vehicle": (
        ["transportation/vehicles"],
        [
            "vehicles/auto",
            "vehicles/construction",
            "vehicles/emergency",
            "vehicles/locomotive",
            "vehicles/masstransit",
            "vehicles/race",
            "vehicles/farming",
        ],
        ["transport-ground"],
    ),
    "boat": (["transportation/boating"], ["vehicles/ship"], ["transport-water"]),
    "person": (["people"], ["people/cartoon"], ["person-role", "person", "person-activity"]),
    "face": (
        ["people/smilies"],
        ["symbols/faces"],
        [
            "face-smiling",
            "face-affection",
            "face-concerned",
            "face-negative",
            "face-neutral-skeptical",
            "face-unwell",
            "face-tongue",
            "face-sleepy",
        ],
    ),
    "hand": (
        [],
        [],
        [
            "hands",
            "hand-fingers-closed",
            "hand-fingers-open",
            "hand-fingers-partial",
            "hand-single-finger",
        ],
    ),
    "clothing": (["people/clothing/**"], ["clothes/**"], ["clothing"]),
    "tool": (["tools"], ["household/tools"], ["tool"]),
    "computer": (["computer/hardware"], [], ["computer"]),
    "arrow": (["shapes/arrows"], [], ["arrow"]),
    "sign": (["transportation/roadsigns"], ["town/roadsigns"], ["transport-sign", "warning"]),
}


def gather_pictures(folder: Path) -> PictureSet:
    """The training pictures, as thumbnails in ``folder/train/<class>``.

    Fetches the three packages on first use. Raises UserError where apt-get, dpkg or npm is missing.
    """
    done = folder / "done"
    if not done.exists():
        _fetch(folder / "packages")
        listed = asset_folder(NANO_SUITE) / "pictures" / "SOURCES.tsv"
        sources = listed.read_text(encoding="utf-8")
        rows = [line.split("\t") for line in sources.splitlines()[1:]]
        held_out = tuple("/" + origin.partition(": ")[2] for _, origin, _ in rows)
        for name, files in tqdm(list(_by_class(folder / "packages")), desc="pictures"):
            for file in files:
                if not str(file).endswith(held_out):
                    _thumbnail(file, folder / "train" / name)
        done.touch()
    return PictureSet.from_folder(folder / "train")


def _fetch(folder: Path) -> None:
    print(
        "fetching openclipart-png, tuxpaint-stamps-default (Debian), emoji-datasource-google (npm)"
    )
    folder.mkdir(parents=True, exist_ok=True)
    for tool in ("apt-get", "dpkg", "npm"):
        if shutil.which(tool) is None:
            raise UserError(f"the training pictures come by {tool}, which is not installed here")
    for package in DEBIAN:
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
    for archive in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    subprocess.run(["npm", "pack", "--silent", EMOJI], cwd=folder, check=True)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


def _by_class(packages: Path) -> Iterator[tuple[str, list[Path]]]:
    """(class, files sorted by name)."""
    clipart = packages / "usr/share/openclipart/png"
    stamps = packages / "usr/share/tuxpaint/stamps"
    emoji = packages / "package"
    catalogue = json.loads((emoji / "emoji.json").read_text(encoding="utf-8"))
    for name, (drawn, stamped, subcategories) in SOURCES.items():
        files = [f for d in drawn for f in clipart.glob(f"{d}/*.png")]
        files += [f for d in stamped for f in stamps.glob(f"{d}/*.png")]
        files += [
            emoji / "img/google/64" / entry["image"]
            for entry in catalogue
            if entry["subcategory"] in subcategories and entry["has_img_google"]
        ]
        unwanted = ("_mirror.png", "_mirror_flip.png")
        yield (
            name,
            sorted(
                file
                for file in files
                if file.exists()
                and file.stat().st_size > 300
                and not file.name.endswith(unwanted)
                and "semaphore" not in str(file)
            ),
        )


def _thumbnail(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:6]
    target = folder / f"{file.stem[:40]}-{digest}.webp"
    Image.MAX_IMAGE_PIXELS = None
    opened = Image.open(file)
    if target.exists() or opened.width * opened.height > PIXELS:
        return
    picture = opened.convert("RGBA")
    picture.thumbnail((SIDE, SIDE))
    picture.save(target, quality=85, method=4)

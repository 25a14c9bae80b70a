"""What kind of image is it: of all that the other kinds make, and maps, flags, drawings, scans.

A scan of a head is there to be declined: what it shows of an illness, nano can't tell.
"""

from __future__ import annotations

import plistlib
import random
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from studies.nano.data import charts, pages, photos, places, receipts, screens, signs
from studies.nano.data.effects import cropped, worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import ask
from studies.nano.data.pictures import background
from studies.nano.data.record import Item, Question
from studies.nano.data.sources import licence
from studies.nano.data.tasks import UNKNOWN
from studies.nano.packages import debian


def make(rng: random.Random) -> Item:
    """A picture of any kind, with the question of its kind."""
    ways: tuple[tuple[Callable[[random.Random], Item], float], ...] = (
        (_drawing, 3), (_map, 2), (_flag, 1), (_scan, 1.5), (_photo, 3),
        (lambda r: _of(charts.make(r), "chart", r), 2),
        (lambda r: _of(pages.make(r), "document", r), 2),
        (lambda r: _of(screens.make(r), "screenshot", r), 2),
        (lambda r: _of(signs.make(r), "photo", r), 1),
        (lambda r: _of(places.make(r), "photo", r), 1),
        (_paper, 2), (_part_of_page, 4),
    )  # fmt: skip
    makers, weights = zip(*ways, strict=True)
    return rng.choices(makers, weights)[0](rng)


def _of(item: Item, kind: str, rng: random.Random) -> Item:
    return replace(item, questions=kind_questions(rng, kind, 1))


def _paper(rng: random.Random) -> Item:
    item = receipts.make(rng)
    return _of(item, item.domain, rng)


def _part_of_page(rng: random.Random) -> Item:
    """Some lines of a page, as people cut them out or photograph them; often grey."""
    package, file, number, text = pages.page(rng)
    page = pages.picture_of(file, number, rng.choice((900, 1300)))
    width, height = (
        round(page.width * rng.uniform(0.4, 1)),
        round(page.height * rng.uniform(0.12, 0.5)),
    )
    line = rng.choice(text.lines).middle / text.size[1] * page.height
    left, top = rng.randint(0, page.width - width), round(line - height * rng.random())
    top = min(max(top, 0), page.height - height)
    part = page.crop((left, top, left + width, top + height))
    if rng.random() < 0.6:
        part = ImageOps.grayscale(part).convert("RGB")
    return _item(worn(part, rng) if rng.random() < 0.7 else part, "document", package, rng)


def _item(image: Image.Image, kind: str, package: str, rng: random.Random, *more: Question) -> Item:
    return Item(
        domain=kind,
        source=package,
        licence=licence(package),
        questions=(*kind_questions(rng, kind, 1), *more),
        image=image,
        truth={"photo": kind == "photo"},
    )


def _photo(rng: random.Random) -> Item:
    if rng.random() < 0.4:
        item = photos.make(rng)
        while item.domain != "photo":
            item = photos.make(rng)
        return _of(item, "photo", rng)
    photo, package = background(rng)
    key = rng.choice(("unanswerable-other", "unanswerable-person"))
    unknown = Question(task="unanswerable", question=ask(rng, key), answer=UNKNOWN)
    size = rng.choice(((640, 480), (480, 640), (800, 500)))
    return _item(cropped(photo, size, rng), "photo", package, rng, unknown)


def _drawing(rng: random.Random) -> Item:
    return _item(_shown(rng.choice(drawings()), rng), "drawing", "openclipart-png", rng)


def _map(rng: random.Random) -> Item:
    return _item(_shown(rng.choice(maps()), rng), "map", "kgeography-data", rng)


def _flag(rng: random.Random) -> Item:
    return _item(_shown(rng.choice(flags()), rng), "flag", "kgeography-data", rng)


def _shown(file: Path, rng: random.Random) -> Image.Image:
    """A picture with transparency on white or a light colour, between 200 and 700 pixels."""
    image = Image.open(file).convert("RGBA")
    longer = rng.randint(280, 700)
    scale = longer / max(image.size)
    image = image.resize(
        (max(32, round(image.width * scale)), max(32, round(image.height * scale)))
    )
    border = rng.randint(0, 60)
    size = (image.width + 2 * border, image.height + 2 * border)
    under = Image.new("RGBA", size, rng.choice(("white", "white", "#f3f0e6", "#e6eef5")))
    under.alpha_composite(image, (border, border))
    return under.convert("RGB")


def _scan(rng: random.Random) -> Item:
    """A slice of a head, along any axis, in a window of densities as doctors choose it."""
    volume = head()
    axis = rng.randrange(3)
    length = volume.shape[axis]
    plane = volume.take(rng.randint(length // 4, 3 * length // 4), axis).astype(np.float32)
    level, width = rng.choice(((40, 120), (40, 400), (400, 2000), (-20, 406)))
    levels = ((plane - level) / width + 0.5).clip(0, 1)
    if axis:  # the slices lie further apart than the pixels of one
        levels = np.flipud(levels)
    pixels = Image.fromarray((levels * 255).astype(np.uint8))
    high = round(256 * 1.5 * 108 / 245) if axis else 256
    scale = rng.choice((1.5, 2, 3))
    image = pixels.resize((round(256 * scale), round(high * scale)), Image.Resampling.BICUBIC)
    question = ask(rng, "unanswerable-medical")
    unknown = Question(task="unanswerable", question=question, answer=UNKNOWN)
    return _item(image.convert("RGB"), "medical scan", "invesalius-examples", rng, unknown)


@cache
def head() -> np.ndarray:
    """A head by computed tomography: Hounsfield units, int16 [slices, rows, columns]."""
    (archive,) = debian("invesalius-examples").rglob("Cranium.inv3")
    with tarfile.open(archive) as opened:
        names = {Path(name).name: name for name in opened.getnames()}
        told = plistlib.loads(_member(opened, names["main.plist"]))["matrix"]
        values = np.frombuffer(_member(opened, names[told["filename"]]), told["dtype"])
    return values.reshape(told["shape"])


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@cache
def drawings() -> tuple[Path, ...]:
    folder = debian("openclipart-png") / "usr/share/openclipart/png"
    names = (
        "animals",
        "food",
        "buildings",
        "people",
        "plants",
        "recreation",
        "transportation",
        "office",
        "computer",
    )
    return tuple(f for name in names for f in sorted((folder / name).rglob("*.png")))


@cache
def maps() -> tuple[Path, ...]:
    return tuple(sorted((debian("kgeography-data") / "usr/share/kgeography").glob("*.png")))


@cache
def flags() -> tuple[Path, ...]:
    folder = debian("kgeography-data") / "usr/share/kgeography/flags"
    return tuple(f for f in sorted(folder.glob("*.png")) if "blurred" not in f.name)

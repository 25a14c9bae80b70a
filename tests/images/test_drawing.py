"""Regions on a picture: where they are painted, that they show, and what cannot be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from openmova.errors import UserError
from openmova.images.boxes import Box, Polygon
from openmova.images.drawing import COLOURS, SUFFIXES, check_target, draw_regions, save_picture

BOX = Box(60.0, 80.0, 160.0, 120.0)
TRIANGLE = Polygon(((50.0, 50.0), (150.0, 50.0), (100.0, 140.0)))
FIRST, SECOND = (ImageColor.getrgb(colour) for colour in COLOURS[:2])


def plain(colour: str = "white", size: tuple[int, int] = (200, 160)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_box_is_outlined_and_the_picture_kept() -> None:
    picture = plain("grey")
    drawn = draw_regions(picture, [("dog", [BOX])])
    for point in ((60, 100), (160, 100), (120, 120)):
        assert drawn.getpixel(point) == FIRST
    assert drawn.getpixel((110, 100)) == drawn.getpixel((20, 150)) == (128, 128, 128)
    assert set(picture.getcolors() or []) == {(200 * 160, (128, 128, 128))}


def test_a_polygon_is_half_filled() -> None:
    drawn = draw_regions(plain(), [("dog", [TRIANGLE])])
    half = (255 + np.array(FIRST)) / 2
    assert np.abs(np.array(drawn)[80, 100] - half).max() <= 1
    assert drawn.getpixel((60, 120)) == (255, 255, 255)


@pytest.mark.parametrize("background", ["white", "black", *COLOURS])
def test_lines_and_labels_show_on_any_background(background: str) -> None:
    everything = [("where?", [BOX, TRIANGLE]), ("all", [Box(0.0, 0.0, 200.0, 160.0)])]
    before = np.array(plain(background)).astype(int)
    after = np.array(draw_regions(plain(background), everything)).astype(int)
    # Beside each line there are black and white, so one of the two is far from the background.
    around = after[94:106, 56:66]
    assert {0, 765} <= set(around.sum(axis=-1).ravel().tolist())
    assert (np.abs(after - before).sum(axis=-1) > 200).mean() > 0.05


def test_regions_have_different_colours_and_a_label_each() -> None:
    assert draw_regions(plain(), [("what?", [])]).tobytes() == plain().tobytes()
    drawn = draw_regions(plain(), [("a", [Box(10.0, 60.0, 60.0, 150.0)]), ("b", [BOX])])
    assert drawn.getpixel((10, 100)) == FIRST
    assert drawn.getpixel((160, 100)) == SECOND
    pixels = np.array(drawn)
    assert (pixels[45:58, 10:20] == FIRST).all(axis=-1).any()  # the label's plate above the box
    other = np.array(draw_regions(plain(), [("c", [Box(10.0, 60.0, 60.0, 150.0)]), ("b", [BOX])]))
    assert not np.array_equal(pixels[40:60, 8:30], other[40:60, 8:30])


@settings(deadline=None, max_examples=50)
@given(
    st.text(),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_any_label_and_any_region_can_be_drawn(
    label: str, size: tuple[int, int], corners: tuple[float, float, float, float]
) -> None:
    x1, x2 = sorted(x * size[0] for x in corners[:2])
    y1, y2 = sorted(y * size[1] for y in corners[2:])
    shape = Polygon(((x1, y1), (x2, y1), (x2, y2)))
    drawn = draw_regions(plain(size=size), [(label, [Box(x1, y1, x2, y2), shape])])
    assert drawn.size == size


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_the_suffix_is_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    check_target(path, Path("picture.png"))
    save_picture(plain("red"), path)
    with Image.open(path) as written:
        assert written.size == (200, 160)
        assert written.convert("RGB").getpixel((5, 5))[0] > 240  # type: ignore[index]
    check_target(path, Path("picture.png"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "end its name with .png, ") for name in ("out", "out.txt", ".png", "out.gif")),
        ("no/out.png", "there is no folder"),
        ("folder.png", "it is a folder"),
        ("x" * 300 + ".png", "give another path"),
        ("photo.png", "it is the picture itself"),
        ("folder.png/../photo.png", "it is the picture itself"),
    ],
)
def test_a_place_that_cannot_be_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "folder.png").mkdir()
    plain().save(tmp_path / "photo.png")
    with pytest.raises(UserError, match=told) as caught:
        check_target(tmp_path / name, tmp_path / "photo.png")
    assert len(str(caught.value).splitlines()) == 1


def test_faults_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="give another format"):
        save_picture(plain(size=(17_000, 1)), tmp_path / "out.webp")
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(UserError, match="No space left on device, give another path"):
        save_picture(plain(), tmp_path / "out.png")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UserError, match="no permission"):
        check_target(tmp_path / "out.png", tmp_path / "photo.png")

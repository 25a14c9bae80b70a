"""Boxes and polygons drawn on a picture, and the picture written to a file, with Pillow alone."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import cycle
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from openmova.images.boxes import Box, Point, Polygon
from openmova.runtime.files import check_output, output_error, write_output

Region = Box | Polygon
SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
OPTIONS = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}}
# A black and a white rim around each line keep it visible on any background, its own colour too.
COLOURS = ("#ffb000", "#00b4ff", "#ff4fa3", "#3ddc61", "#ff6a1f", "#b18cff", "#fff04d", "#00e0c7")
RIM, OUTER_RIM, LABEL = "#000000", "#ffffff", "#000000"
LABEL_LENGTH = 48


def draw_regions(
    picture: Image.Image, labelled: Iterable[tuple[str, Sequence[Region]]]
) -> Image.Image:
    """A copy of an RGB picture with each region's outline and label; polygons are half filled.

    labelled: a label and the regions that it names; several of them are numbered.
    """
    regions = [
        (label if len(named) == 1 else f"{number} {label}", region)
        for label, named in labelled
        for number, region in enumerate(named, start=1)
    ]
    coloured = list(zip(regions, cycle(COLOURS), strict=False))
    drawn = picture.copy()
    fill = ImageDraw.Draw(drawn, "RGBA")
    for (_, region), colour in coloured:
        if isinstance(region, Polygon):
            fill.polygon(region.points, fill=f"{colour}80")
    width = max(2, round(max(picture.size) / 250))
    for (_, region), colour in coloured:
        _outline(drawn, region, colour, width)
    font = ImageFont.load_default(max(12, round(max(picture.size) / 45)))
    for (label, region), colour in coloured:
        _write(drawn, label, region, colour, font)
    return drawn


def check_target(path: Path, source: Path) -> None:
    """Raises UserError where the drawing of the picture `source` cannot be written to `path`."""
    check_output(path, SUFFIXES)
    with suppress(OSError, ValueError):  # one of the two is not there
        if path.samefile(source):
            raise output_error(path, "it is the picture itself, give another name")


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes the picture in the format of the path's suffix. Raises UserError if it cannot."""
    kind = SUFFIXES[path.suffix.lower()]
    data = BytesIO()
    try:
        picture.save(data, kind, **OPTIONS.get(kind, {}))
    except ValueError as error:  # more pixels a side than the format takes
        raise output_error(path, f"{error}, give another format") from error
    write_output(path, data.getvalue())


def _corners(region: Region) -> list[Point]:
    if isinstance(region, Polygon):
        return list(region.points)
    left, top, right, bottom = region.x1, region.y1, region.x2, region.y2
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _outline(drawn: Image.Image, region: Region, colour: str, width: int) -> None:
    """The line in its colour between two rims, kept inside the picture."""
    pen = ImageDraw.Draw(drawn)
    right, bottom = (side - 1 for side in drawn.size)
    corners = [(min(x, right), min(y, bottom)) for x, y in _corners(region)]
    for ink, more in ((OUTER_RIM, 4), (RIM, 2), (colour, 0)):
        pen.line([*corners, *corners[:2]], ink, width + more, joint="curve")


def _write(
    drawn: Image.Image,
    label: str,
    region: Region,
    colour: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """The label on a plate of the region's colour: above the region, or inside it at the top."""
    pen = ImageDraw.Draw(drawn)
    label = _fitting(label, font, drawn.width)
    left, top, right, bottom = pen.textbbox((0, 0), label, font)
    margin = max(2, round((bottom - top) / 5))
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    corners = _corners(region)
    x = max(0, min(min(x for x, _ in corners), drawn.width - width))
    highest = min(y for _, y in corners)
    y = max(0, min(highest if highest < height else highest - height, drawn.height - height))
    pen.rectangle((x, y, x + width, y + height), colour, RIM)
    pen.text((x + margin - left, y + margin - top), label, LABEL, font)


def _fitting(label: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, room: int) -> str:
    """The label on one line, as much of it as fits."""
    line = " ".join(label.split())
    if len(line) <= LABEL_LENGTH and font.getlength(line) < room:
        return line
    lengths = range(min(len(line), LABEL_LENGTH), 1, -1)
    cuts = (f"{line[:length].rstrip()}..." for length in lengths)
    return next((cut for cut in cuts if font.getlength(cut) < room), line[:1])

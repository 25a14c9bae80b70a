"""What kind of image is it, of kinds that nothing else here makes.

Plots of distributions and areas, diagrams of boxes and arrows, paintings.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from studies.nano.data.effects import cropped
from studies.nano.data.kind import kind_questions
from studies.nano.data.pictures import background
from studies.nano.data.record import Item
from studies.nano.data.sources import licence
from studies.nano.data.words import Words
from studies.nano.packages import debian

STYLES = ("default", "ggplot", "bmh", "fivethirtyeight", "seaborn-v0_8-whitegrid", "classic",
          "Solarize_Light2", "grayscale", "seaborn-v0_8-darkgrid")  # fmt: skip
GAMES = ("wesnoth-1.16-httt", "wesnoth-1.16-utbs", "wesnoth-1.16-ei")


def make(rng: random.Random) -> Item:
    """A picture with the question of its kind."""
    maker, kind = rng.choices((_plot, _diagram, _painting), (5, 2, 3))[0], ""
    if maker is _plot:
        kind = rng.choice(sorted(PLOTS))
        image, source, terms = _plot(rng, kind), "matplotlib", "PSF-like"
    elif maker is _diagram:
        image, source, terms = _diagram(rng), "drawn here", "Apache-2.0"
    else:
        image, source = _painting(rng)
        terms = licence(source)
    name = {_plot: "chart", _diagram: "diagram", _painting: "painting"}[maker]
    return Item(
        domain=name,
        source=source,
        licence=terms,
        questions=kind_questions(rng, name, 1),
        image=image,
        truth={"chart_kind": kind} if kind else {},
    )


def _plot(rng: random.Random, kind: str) -> Image.Image:
    """A plot of random numbers in a random style."""
    numbers, words = np.random.default_rng(rng.randrange(2**32)), Words(rng, "en")
    with styles.context(rng.choice(STYLES)):
        figure = Figure(figsize=(rng.uniform(4, 8), rng.uniform(3, 5.5)), dpi=rng.choice((80, 100)))
        axes = figure.add_subplot()
        PLOTS[kind](axes, numbers, rng)
        if rng.random() < 0.8:
            axes.set_title(f"{words.made_up()} {words.made_up()}")
        if kind != "pie chart" and rng.random() < 0.8:
            axes.set_xlabel(words.made_up())
            axes.set_ylabel(words.made_up())
        written = io.BytesIO()
        figure.savefig(written, bbox_inches="tight")
    return Image.open(written).convert("RGB")


def _samples(numbers: np.random.Generator, rng: random.Random, count: int) -> np.ndarray:
    draw = rng.choice((numbers.normal, numbers.gumbel, numbers.logistic))
    return draw(rng.uniform(-5, 50), rng.uniform(1, 10), count)


def _histogram(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    bins = rng.randint(8, 40)
    for _ in range(rng.choice((1, 1, 1, 2))):
        values = _samples(numbers, rng, rng.randint(100, 3000))
        edge = rng.choice(("black", "white", None))
        axes.hist(values, bins, alpha=rng.uniform(0.6, 1), edgecolor=edge, color=_colour(rng))


def _boxes(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    groups = [_samples(numbers, rng, 60) for _ in range(rng.randint(2, 7))]
    filled, vertical = rng.random() < 0.6, rng.random() < 0.8
    axes.boxplot(groups, patch_artist=filled, orientation="vertical" if vertical else "horizontal")


def _areas(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    steps, series = rng.randint(6, 40), rng.randint(1, 5)
    values = np.abs(numbers.normal(0, 1, (series, steps)).cumsum(1)) + 1
    axes.stackplot(range(steps), values, alpha=rng.uniform(0.5, 1))


def _heat_map(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    shape = (rng.randint(4, 14), rng.randint(4, 14))
    shown = axes.imshow(numbers.normal(0, 1, shape), cmap=rng.choice(sorted(colormaps)))
    axes.grid(False)
    if rng.random() < 0.7:
        axes.figure.colorbar(shown, ax=axes)
    if rng.random() < 0.4:
        for place in np.ndindex(shape):
            axes.text(place[1], place[0], f"{numbers.normal():.1f}", ha="center", fontsize=6)


def _lines(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    steps = rng.choice((5, 12, 50, 300, 1000))
    for _ in range(rng.randint(1, 5)):
        smooth = numbers.normal(0, 1, steps).cumsum()
        mark = rng.choice((None, "o", "s")) if steps < 60 else None
        axes.plot(range(steps), smooth, marker=mark, linestyle=rng.choice(("-", "-", "--")))


def _scatter(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        centre, count = numbers.normal(0, 3, 2), rng.randint(15, 300)
        points = numbers.normal(centre, rng.uniform(0.3, 2), (count, 2))
        axes.scatter(points[:, 0], points[:, 1], s=rng.uniform(5, 60), alpha=rng.uniform(0.4, 1))


def _bars(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    count, stacked = rng.randint(3, 12), rng.random() < 0.4
    draw = axes.bar if rng.random() < 0.7 else axes.barh
    under = np.zeros(count)
    for _ in range(rng.randint(2, 4) if stacked else 1):
        values = numbers.uniform(1, 10, count)
        if draw == axes.bar:
            axes.bar(range(count), values, bottom=under)
        else:
            axes.barh(range(count), values, left=under)
        under += values


def _pie(axes: Axes, numbers: np.random.Generator, rng: random.Random) -> None:
    count, words = rng.randint(2, 7), Words(rng, "en")
    ring = {"width": 0.4} if rng.random() < 0.25 else None
    axes.pie(
        numbers.uniform(1, 10, count),
        labels=[words.made_up() for _ in range(count)] if rng.random() < 0.7 else None,
        autopct="%1.0f%%" if rng.random() < 0.5 else None,
        explode=[0.08 * (rng.random() < 0.2) for _ in range(count)],
        shadow=rng.random() < 0.2,
        wedgeprops=ring,
    )
    if rng.random() < 0.3:
        axes.legend([words.made_up() for _ in range(count)])


PLOTS: dict[str, Callable[[Axes, np.random.Generator, random.Random], None]] = {
    "histogram": _histogram, "box plot": _boxes, "area chart": _areas, "heat map": _heat_map,
    "line chart": _lines, "scatter plot": _scatter, "bar chart": _bars, "pie chart": _pie,
}  # fmt: skip


def _diagram(rng: random.Random) -> Image.Image:
    """Boxes with words, and arrows between them."""
    words = Words(rng, "en")
    width, height = rng.randint(400, 900), rng.randint(300, 700)
    image = Image.new("RGB", (width, height), rng.choice(("white", "white", "#f6f6f0", "#eef4fa")))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(rng.randint(11, 18))
    columns, rows = rng.randint(2, 4), rng.randint(2, 4)
    shape = rng.choice(("rectangle", "rounded", "ellipse", "mixed"))
    line, fill = rng.choice(("black", "#335", "#555")), _colour(rng, pale=True)
    cells = [(c, r) for c in range(columns) for r in range(rows)]
    cells = sorted(rng.sample(cells, rng.randint(max(3, len(cells) // 2), len(cells))))
    wide, high = width / columns, height / rows
    centres = [((c + 0.5) * wide, (r + 0.5) * high) for c, r in cells]
    for i in range(1, len(centres)):
        _arrow(draw, centres[rng.randrange(i)], centres[i], line)
    for x, y in centres:
        half = (wide * rng.uniform(0.28, 0.4), high * rng.uniform(0.18, 0.32))
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        form = rng.choice(("rectangle", "rounded", "ellipse")) if shape == "mixed" else shape
        colour = fill if rng.random() < 0.8 else _colour(rng, pale=True)
        if form == "ellipse":
            draw.ellipse(box, colour, line, 2)
        else:
            draw.rounded_rectangle(box, 12 if form == "rounded" else 0, colour, line, 2)
        draw.text((x, y), words.made_up(), "black", font, anchor="mm")
    return image


def _arrow(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    draw.line((start, end), colour, 2)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    angle = np.arctan2(end[1] - start[1], end[0] - start[0])
    sides = [
        (middle[0] - 10 * np.cos(angle + turn), middle[1] - 10 * np.sin(angle + turn))
        for turn in (0.5, -0.5)
    ]
    draw.polygon([middle, *sides], colour)


def _colour(rng: random.Random, pale: bool = False) -> str:
    low, high = (190, 255) if pale else (20, 230)
    return "#" + "".join(f"{rng.randint(low, high):02x}" for _ in range(3))


def _painting(rng: random.Random) -> tuple[Image.Image, str]:
    """A painted scene or portrait of a game, or a photo as if painted; and its package."""
    size = rng.choice(((640, 480), (480, 640), (560, 560)))
    if rng.random() < 0.35:
        package, file = rng.choice(scenes())
        return cropped(Image.open(file).convert("RGB"), size, rng), package
    photo, package = background(rng)
    canvas = _brushed(cropped(photo, size, rng), rng)
    if rng.random() < 0.3:
        package, file = rng.choice(portraits())
        person = Image.open(file).convert("RGBA")
        person.thumbnail(size)
        canvas.paste(person, ((size[0] - person.width) // 2, size[1] - person.height), person)
    return canvas, package


def _brushed(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Strokes of one colour, strong colours, the grain of a canvas."""
    image = photo
    for _ in range(rng.choice((1, 2))):
        image = image.filter(ImageFilter.ModeFilter(rng.choice((7, 9, 11))))
    image = image.filter(ImageFilter.UnsharpMask(3, rng.randint(80, 250)))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.7, 1.8))
    if rng.random() < 0.6:
        numbers = np.random.default_rng(rng.randrange(2**32))
        grain = numbers.normal(0, rng.uniform(4, 14), (image.height, image.width, 1))
        strokes = (grain + np.roll(grain, 1, rng.choice((0, 1)))) / 1.4
        image = Image.fromarray((np.asarray(image) + strokes).clip(0, 255).astype(np.uint8))
    return image


@cache
def scenes() -> tuple[tuple[str, Path], ...]:
    """Painted scenes of games, with their packages."""
    found = ((game, f) for game in GAMES for f in sorted(debian(game).rglob("story/*.[jp][pn]g")))
    return tuple((game, file) for game, file in found if min(Image.open(file).size) >= 400)


@cache
def portraits() -> tuple[tuple[str, Path], ...]:
    """Painted persons of games, with their packages."""
    found = ((game, f) for game in GAMES for f in sorted(debian(game).rglob("portraits/**/*.png")))
    return tuple((game, file) for game, file in found if min(Image.open(file).size) >= 200)

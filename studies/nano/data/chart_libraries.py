# ruff: noqa: E501 - long calls
"""The libraries that draw charts: matplotlib, seaborn, plotnine, Altair and gnuplot.

Each draws a `ChartSpec` in a look of its own by seed and says where the marks are in pixels.
"""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openmova.errors import UserError
from studies.nano.data.chart_spec import ChartSpec, Drawn, mark
from studies.nano.data.record import Word


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library: what it draws, and with what."""

    name: str
    licence: str
    kinds: tuple[str, ...]
    draw: Callable[[ChartSpec, random.Random], Drawn]


_PALETTES = ("tab10", "Set2", "Set1", "Dark2", "Paired", "viridis", "Pastel1", "Accent", "plasma")
_ONE = (
    "tab:blue",
    "0.5",
    "steelblue",
    "#e15759",
    "teal",
    "orange",
    "black",
    "lightblue",
    "#4e79a7",
    "olive",
    "#76b7b2",
    "navy",
    "crimson",
)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def _table(spec: ChartSpec) -> Any:
    """A row for each value: its label, series and value."""
    import pandas

    names = [name for name in (spec.series or ("",)) for _ in spec.labels]
    labels = list(spec.labels) * max(1, len(spec.series))
    values = [value for row in spec.values for value in row]
    return pandas.DataFrame({"label": labels, "series": names, "value": values})


def _matplotlib(spec: ChartSpec, rng: random.Random) -> Drawn:
    plt = _pyplot()
    styles = [
        s for s in plt.style.available if s not in ("_classic_test_patch",) and "xkcd" not in s
    ]
    style = rng.choice(("default", "default", rng.choice(styles)))
    with (
        plt.style.context(style),
        plt.rc_context(
            {
                "font.family": rng.choice(
                    (
                        "DejaVu Sans",
                        "DejaVu Sans",
                        "Liberation Sans",
                        "DejaVu Serif",
                        "Roboto",
                        "Lato",
                        "Liberation Serif",
                    )
                ),
                "svg.hashsalt": "nano",
            }
        ),
    ):
        figure, axes = _figure(spec, rng, plt)
        colours = _colours(spec, rng, plt)
        if spec.kind == "pie":
            return _pie(spec, rng, figure, axes, colours, plt)
        _plot(spec, rng, axes, colours)
        _dress(spec, rng, axes)
        return _finished(spec, figure, axes, plt)


def _figure(spec: ChartSpec, rng: random.Random, plt: Any) -> tuple[Any, Any]:
    square = spec.kind == "pie"
    width = rng.uniform(4, 6) if square else rng.uniform(4.5, 8.5)
    height = width * rng.uniform(0.8, 1) if square else rng.uniform(3.2, 6)
    return plt.subplots(figsize=(width, height), dpi=rng.choice((72, 80, 100, 110)))


def _colours(spec: ChartSpec, rng: random.Random, plt: Any) -> list[Any]:
    count = max(len(spec.labels), len(spec.series))
    if spec.series or spec.kind == "pie" or rng.random() < 0.35:
        palette = plt.get_cmap(rng.choice(_PALETTES))
        step = 1 if palette.N < 30 else palette.N // (count + 1)
        return [palette((i * step) % palette.N) for i in range(count)]
    return [rng.choice(_ONE)] * count


def _plot(spec: ChartSpec, rng: random.Random, axes: Any, colours: list[Any]) -> None:
    places = np.arange(len(spec.labels))
    edge = {"edgecolor": rng.choice(("black", "white"))} if rng.random() < 0.3 else {}
    row = spec.values[0]
    if spec.kind in ("bar", "barh"):
        thick = rng.uniform(0.4, 0.95)
        if spec.kind == "bar":
            bars = axes.bar(places, row, thick, color=colours, **edge)
        else:
            bars = axes.barh(places, row, thick, color=colours, **edge)
        if spec.shown:
            axes.bar_label(bars, [spec.written(v) for v in row])
    elif spec.kind == "grouped":
        thick = 0.85 / len(spec.series)
        for i, (name, values) in enumerate(zip(spec.series, spec.values, strict=True)):
            axes.bar(
                places + (i - (len(spec.series) - 1) / 2) * thick,
                values,
                thick,
                label=name,
                color=colours[i],
                **edge,
            )
        axes.legend()
    elif spec.kind in ("line", "lines"):
        look = {
            "marker": rng.choice(("o", "s", "", "^", "D")),
            "linestyle": rng.choice(("-", "-", "--", "-.")),
        }
        for i, values in enumerate(spec.values):
            label = spec.series[i] if spec.series else None
            axes.plot(
                places, values, color=colours[i], label=label, linewidth=rng.uniform(1, 3), **look
            )
        if spec.series:
            axes.legend()
        elif spec.shown:
            for x, value in zip(places, row, strict=True):
                axes.annotate(
                    spec.written(value),
                    (x, value),
                    textcoords="offset points",
                    xytext=(0, 6),
                    ha="center",
                )
        if rng.random() < 0.6:
            axes.set_ylim(bottom=0)
    else:
        spread = np.random.default_rng(rng.getrandbits(32)).uniform(0.8, 1.2, len(row) * 4)
        axes.scatter(
            np.repeat(places, 4) * 10.0 * spread,
            np.repeat(row, 4) * spread[::-1],
            color=colours[0],
            s=rng.uniform(8, 60),
            alpha=rng.uniform(0.5, 1),
        )
        return
    if spec.kind == "barh":
        axes.set_yticks(places, spec.labels)
        if rng.random() < 0.5:
            axes.invert_yaxis()
    else:
        axes.set_xticks(places, spec.labels)


def _dress(spec: ChartSpec, rng: random.Random, axes: Any) -> None:
    """Title, axes' labels, grid, borders, turned labels."""
    horizontal = spec.kind == "barh"
    if spec.title:
        axes.set_title(
            spec.title,
            loc=rng.choice(("center", "center", "left")),
            fontsize=rng.choice((10, 12, 14)),
        )
    if spec.label_axis:
        (axes.set_ylabel if horizontal else axes.set_xlabel)(spec.label_axis)
    if spec.value_axis:
        (axes.set_xlabel if horizontal else axes.set_ylabel)(spec.value_axis)
    if rng.random() < 0.4:
        axes.grid(True, axis="x" if horizontal else "y", alpha=rng.uniform(0.3, 1))
        axes.set_axisbelow(True)
    if rng.random() < 0.35:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if not horizontal and spec.kind != "scatter":
        crowded = sum(map(len, spec.labels)) > 38
        if crowded or rng.random() < 0.15:
            axes.tick_params(axis="x", rotation=rng.choice((45, 90, 30)))


def _finished(spec: ChartSpec, figure: Any, axes: Any, plt: Any) -> Drawn:
    figure.tight_layout()
    figure.canvas.draw()
    height = figure.bbox.height
    x0, y0, x1, y1 = axes.get_window_extent().extents
    geometry: dict[str, Any] = {"plot": [round(v, 1) for v in (x0, height - y1, x1, height - y0)]}
    marks = list(_marks(spec, axes, height))
    if marks:
        geometry["marks"] = marks
        low, high = axes.get_xlim() if spec.kind == "barh" else axes.get_ylim()
        geometry["range"] = [float(low), float(high)]
    words = tuple(_texts(figure, height))
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=figure.dpi)
    plt.close(figure)
    return Drawn(image=Image.open(packed).convert("RGB"), geometry=geometry, words=words)


def _marks(spec: ChartSpec, axes: Any, height: float) -> Iterator[dict[str, Any]]:
    """Where the values stand: by the axes' own transform."""
    if spec.kind == "scatter":
        return
    count = max(1, len(spec.series))
    for i, row in enumerate(spec.values):
        for place, value in enumerate(row):
            at = place + ((i - (count - 1) / 2) * 0.85 / count if spec.kind == "grouped" else 0)
            pair = (value, at) if spec.kind == "barh" else (at, value)
            zero = (0, at) if spec.kind == "barh" else (at, 0)
            x, y = axes.transData.transform(pair)
            base_x, base_y = axes.transData.transform(zero)
            if spec.kind == "barh":
                yield mark(i, place, value, x=x, y=height - y, base=base_x)
            elif spec.kind in ("bar", "grouped"):
                yield mark(i, place, value, x=x, y=height - y, base=height - base_y)
            else:
                yield mark(i, place, value, x=x, y=height - y)


def _texts(figure: Any, height: float) -> Iterator[Word]:
    """All visible words; a line's box is shared out by the number of characters."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        content = text.get_text().strip()
        if not content or not text.get_visible():
            continue
        x0, y0, x1, y1 = text.get_window_extent().extents
        if x1 <= 0 or y1 <= 0 or x0 >= figure.bbox.width or y0 >= height:
            continue
        box = (float(x0), float(height - y1), float(x1), float(height - y0))
        turned = text.get_rotation() % 180
        yield from _shared(content, box) if turned == 0 else (Word(text=content, box=box),)


def _shared(content: str, box: tuple[float, float, float, float]) -> Iterator[Word]:
    x0, y0, x1, y1 = box
    step = (x1 - x0) / len(content)
    for found in re.finditer(r"\S+", content):
        yield Word(text=found[0], box=(x0 + found.start() * step, y0, x0 + found.end() * step, y1))


def _pie(
    spec: ChartSpec, rng: random.Random, figure: Any, axes: Any, colours: list[Any], plt: Any
) -> Drawn:
    legend = rng.random() < 0.3
    row = list(spec.values[0])
    values = iter([spec.written(v) for v in row])
    shown = {"autopct": lambda _: next(values)} if spec.shown else {}
    width = {"wedgeprops": {"width": 0.5}} if rng.random() < 0.2 else {}
    wedges, *_ = axes.pie(
        row,
        labels=None if legend else spec.labels,
        colors=colours,
        startangle=rng.choice((0, 90, rng.randrange(360))),
        counterclock=rng.random() < 0.5,
        **shown,
        **width,
    )
    if legend:
        axes.legend(wedges, spec.labels, loc="best")
    if spec.title:
        axes.set_title(spec.title)
    drawn = _finished(spec, figure, axes, plt)
    geometry = dict(drawn.geometry)
    for name in ("marks", "range"):
        geometry.pop(name, None)
    x0, y0, x1, y1 = geometry["plot"]
    # A pie's axes go from -1.25 to 1.25, its radius is 1.
    geometry["centre"] = [(x0 + x1) / 2, (y0 + y1) / 2]
    geometry["radius"] = round((x1 - x0) / 2.5, 1)
    geometry["angles"] = [[round(w.theta1, 1), round(w.theta2, 1)] for w in wedges]
    return Drawn(image=drawn.image, geometry=geometry, words=drawn.words)


def _seaborn(spec: ChartSpec, rng: random.Random) -> Drawn:
    import seaborn

    plt = _pyplot()
    style = rng.choice(("darkgrid", "whitegrid", "white", "ticks"))
    with (
        seaborn.axes_style(style),
        seaborn.plotting_context(rng.choice(("paper", "notebook", "notebook", "talk"))),
    ):
        figure, axes = _figure(spec, rng, plt)
        table = _table(spec)
        palette = rng.choice(("deep", "muted", "pastel", "Set2", "rocket", "mako", "crest", "husl"))
        if spec.kind == "line":
            seaborn.lineplot(
                table,
                x="label",
                y="value",
                ax=axes,
                marker=rng.choice(("o", None)),
                color=rng.choice(_ONE),
            )
        elif spec.kind == "lines":
            seaborn.lineplot(table, x="label", y="value", hue="series", ax=axes, palette=palette)
        elif spec.kind == "grouped":
            seaborn.barplot(
                table, x="label", y="value", hue="series", ax=axes, palette=palette, width=0.85
            )
        else:
            x, y = ("value", "label") if spec.kind == "barh" else ("label", "value")
            colour = (
                {"color": rng.choice(_ONE)}
                if rng.random() < 0.5
                else {"hue": "label", "palette": palette, "legend": False}
            )
            seaborn.barplot(
                table, x=x, y=y, ax=axes, orient="h" if spec.kind == "barh" else "v", **colour
            )
        if axes.get_legend():
            axes.get_legend().set_title(None)
        axes.set(xlabel="", ylabel="")
        _dress(spec, rng, axes)
        if rng.random() < 0.4:
            seaborn.despine(figure)
        return _finished(spec, figure, axes, plt)


def _plotnine(spec: ChartSpec, rng: random.Random) -> Drawn:
    import pandas
    import plotnine as p9

    plt, table = _pyplot(), _table(spec)
    table["label"] = pandas.Categorical(table["label"], categories=spec.labels)
    colour = rng.choice(("#444444", "steelblue", "#D55E00", "darkgreen", "grey", "#56B4E9"))
    if spec.kind == "line":
        layer = [p9.geom_line(p9.aes(group=1), color=colour), p9.geom_point(color=colour)]
    elif spec.kind == "lines":
        layer = [
            p9.geom_line(p9.aes(group="series", color="series")),
            p9.geom_point(p9.aes(color="series")),
        ]
    elif spec.kind == "grouped":
        layer = [
            p9.geom_col(p9.aes(fill="series"), position=p9.position_dodge(width=0.85), width=0.85)
        ]
    else:
        layer = [p9.geom_col(fill=colour, width=rng.uniform(0.5, 0.9))]
    theme = rng.choice(
        (p9.theme_gray, p9.theme_bw, p9.theme_minimal, p9.theme_classic, p9.theme_light)
    )
    size = (rng.uniform(4.5, 8), rng.uniform(3.2, 5.5))
    plot = p9.ggplot(table, p9.aes("label", "value")) + layer + theme()
    plot += p9.labs(
        x=spec.label_axis, y=spec.value_axis, title=spec.title or None, fill="", color=""
    )
    turned = (
        {"axis_text_x": p9.element_text(rotation=rng.choice((45, 90)), ha="right")}
        if sum(map(len, spec.labels)) > 38 and spec.kind != "barh"
        else {}
    )
    plot += p9.theme(figure_size=size, dpi=rng.choice((72, 90, 100)), **turned)
    if spec.kind == "barh":
        plot += p9.coord_flip()
    figure = plot.draw()
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=figure.dpi)  # only this lays it out
    axes, height = figure.axes[0], figure.bbox.height
    x0, y0, x1, y1 = axes.get_window_extent().extents
    marks = []
    for found in _marks(spec, axes, height):
        # Places are counted from 1 here.
        (dx, dy), (ox, oy) = axes.transData.transform([(1, 1), (0, 0)])
        shift = (
            {"y": found["y"] - (dy - oy)} if spec.kind == "barh" else {"x": found["x"] + (dx - ox)}
        )
        marks.append({**found, **{k: round(float(v), 1) for k, v in shift.items()}})
    words = tuple(_texts(figure, height))
    plt.close(figure)
    low, high = axes.get_xlim() if spec.kind == "barh" else axes.get_ylim()
    geometry = {
        "plot": [round(float(v), 1) for v in (x0, height - y1, x1, height - y0)],
        "marks": marks,
        "range": [float(low), float(high)],
    }
    return Drawn(image=Image.open(packed).convert("RGB"), geometry=geometry, words=words)


def _altair(spec: ChartSpec, rng: random.Random) -> Drawn:
    import altair
    import vl_convert

    order = list(spec.labels)
    place = altair.X(
        "label:N",
        sort=order,
        title=spec.label_axis or None,
        axis=altair.Axis(
            labelAngle=rng.choice((0, -45, -90)) if sum(map(len, order)) < 38 else -60
        ),
    )
    value = altair.Y("value:Q", title=spec.value_axis or None)
    if spec.kind == "barh":
        place = altair.Y("label:N", sort=order, title=spec.label_axis or None)
        value = altair.X("value:Q", title=spec.value_axis or None)
    colour = {
        "color": rng.choice(("#4c78a8", "#f58518", "#54a24b", "teal", "#9d755d", "firebrick"))
    }
    encoding: dict[str, Any] = {
        ("y" if spec.kind == "barh" else "x"): place,
        ("x" if spec.kind == "barh" else "y"): value,
    }
    chart = altair.Chart(_table(spec))
    if spec.kind in ("line", "lines"):
        chart = chart.mark_line(point=True, **({} if spec.series else colour))
    elif spec.kind == "pie":
        chart = chart.mark_arc(innerRadius=rng.choice((0, 0, 50)))
        encoding = {
            "theta": altair.Theta("value:Q"),
            "color": altair.Color("label:N", sort=order, title=None),
        }
    else:
        chart = chart.mark_bar(**({} if spec.series else colour))
    if spec.series:
        encoding["color"] = altair.Color("series:N", title=None)
        if spec.kind == "grouped":
            encoding["xOffset"] = altair.XOffset("series:N", sort=list(spec.series))
    size = {"width": rng.randint(240, 560), "height": rng.randint(180, 380)}
    chart = chart.encode(**encoding).properties(
        **size, **({"title": spec.title} if spec.title else {})
    )
    theme = rng.choice(
        (
            None,
            None,
            "fivethirtyeight",
            "ggplot2",
            "latimes",
            "quartz",
            "vox",
            "excel",
            "googlecharts",
        )
    )
    scale = rng.choice((1.0, 1.25, 1.5))
    source = chart.to_dict()
    picture = Image.open(io.BytesIO(vl_convert.vegalite_to_png(source, theme=theme, scale=scale)))
    image = Image.new("RGBA", picture.size, "white")
    image.alpha_composite(picture.convert("RGBA"))
    scene = vl_convert.vegalite_to_scenegraph(source, theme=theme)
    return Drawn(image=image.convert("RGB"), geometry=_scene_geometry(spec, scene, scale))


def _scene_geometry(spec: ChartSpec, scene: dict[str, Any], scale: float) -> dict[str, Any]:
    """The marks of a Vega scene, in pixels of the picture."""
    left, top = scene["origin"]
    found: list[tuple[float, float, float, float]] = []
    frame: dict[str, float] = {}

    def walk(node: dict[str, Any], x: float, y: float) -> None:
        if node.get("role") == "frame":
            frame.update({k: node["items"][0].get(k, 0) for k in ("width", "height")})
        for item in node.get("items", ()):
            if node.get("role") == "mark" and node.get("marktype") in ("rect", "symbol"):
                found.append(
                    (
                        x + item.get("x", 0),
                        y + item.get("y", 0),
                        item.get("width", 0),
                        item.get("height", 0),
                    )
                )
            if "items" in item:
                inside = node.get("marktype") == "group"
                walk(
                    item,
                    x + (item.get("x", 0) if inside else 0),
                    y + (item.get("y", 0) if inside else 0),
                )

    walk(scene["scenegraph"], left, top)
    box = (left, top, left + frame.get("width", 0), top + frame.get("height", 0))
    geometry: dict[str, Any] = {"plot": [round(v * scale, 1) for v in box]}
    expected = len(spec.labels) * max(1, len(spec.series))
    if len(found) != expected or spec.kind == "pie":
        return geometry
    marks = []
    for index, (x, y, width, height) in enumerate(found):
        series, place = divmod(index, len(spec.labels))
        value = spec.values[series][place]
        if spec.kind == "barh":
            marks.append(
                mark(
                    series,
                    place,
                    value,
                    x=(x + width) * scale,
                    y=(y + height / 2) * scale,
                    base=x * scale,
                )
            )
        elif spec.kind in ("bar", "grouped"):
            marks.append(
                mark(
                    series,
                    place,
                    value,
                    x=(x + width / 2) * scale,
                    y=y * scale,
                    base=(y + height) * scale,
                )
            )
        else:
            marks.append(mark(series, place, value, x=x * scale, y=y * scale))
    return geometry | {"marks": marks}


def _gnuplot(spec: ChartSpec, rng: random.Random) -> Drawn:
    if shutil.which("gnuplot") is None:
        raise UserError("charts need the program gnuplot: apt-get install gnuplot-nox")
    width, height = rng.randint(380, 760), rng.randint(300, 520)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "chart.png"
        script = _script(spec, rng, picture, width, height)
        done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=True)
        image = Image.open(picture).convert("RGB")
    numbers = json.loads("[" + done.stderr.strip().splitlines()[-1] + "]")
    x0, x1, y0, y1, low, high, left, right = numbers
    # The terminal counts its pixels from below.
    plot = [x0, height - y1, x1, height - y0]
    marks = []
    for series, row in enumerate(spec.values):
        for place, value in enumerate(row):
            at = place + (
                (series - (len(spec.series) - 1) / 2) / (len(spec.series) + 1)
                if spec.kind == "grouped"
                else 0
            )
            x = x0 + (at - left) / (right - left) * (x1 - x0)
            y = height - (y0 + (value - low) / (high - low) * (y1 - y0))
            base = height - (y0 + (max(0, low) - low) / (high - low) * (y1 - y0))
            marks.append(
                mark(
                    series,
                    place,
                    value,
                    x=x,
                    y=y,
                    **({"base": base} if spec.kind != "line" else {}),
                )
            )
    return Drawn(image=image, geometry={"plot": plot, "marks": marks, "range": [low, high]})


def _script(spec: ChartSpec, rng: random.Random, picture: Path, width: int, height: int) -> str:
    def text(value: str) -> str:
        return '"' + value.replace("\\", "").replace('"', "'") + '"'

    rows = "\n".join(
        f"{place} {text(label)} " + " ".join(str(row[place]) for row in spec.values)
        for place, label in enumerate(spec.labels)
    )  # fmt: skip
    font = rng.choice(("DejaVu Sans", "Liberation Sans", "DejaVu Serif"))
    look = {
        "line": f"with linespoints pt {rng.choice((5, 7, 9, 13))} lw 2",
        "bar": "with boxes",
        "grouped": "with histograms",
        "lines": "with linespoints lw 2",
    }[spec.kind]
    parts = [
        f"set terminal pngcairo size {width},{height} noenhanced font {text(font + ',' + str(rng.randint(9, 13)))}",
        f"set output {text(str(picture))}",
        f"$data << EOD\n{rows}\nEOD",
        f"set style fill {rng.choice(('solid', 'solid 0.5', 'pattern 2', 'solid border -1', 'empty'))}",
        f"set boxwidth {rng.uniform(0.4, 0.9):.2f}",
        "set key outside" if spec.series else "unset key",
        "set grid ytics" if rng.random() < 0.4 else "unset grid",
        f"set border {rng.choice((3, 31))}",
        f"set xrange [-0.7:{len(spec.labels) - 0.3}]",
        "set yrange [0:*]" if spec.kind in ("bar", "grouped") or rng.random() < 0.5 else "set autoscale y",
    ]  # fmt: skip
    if sum(map(len, spec.labels)) > 36:
        parts.append(f"set xtics rotate by {rng.choice((-45, 90))}")
    if spec.kind == "grouped":
        parts.append("set style histogram clustered gap 1")
    if spec.title:
        parts.append(f"set title {text(spec.title)}")
    if spec.label_axis:
        parts.append(f"set xlabel {text(spec.label_axis)}")
    if spec.value_axis:
        parts.append(f"set ylabel {text(spec.value_axis)}")
    colour = rng.choice(("#9400D3", "#4169E1", "#2E8B57", "#B22222", "#696969", "#DAA520"))
    plots = []
    for index in range(len(spec.values)):
        column = index + 3
        name = f"title {text(spec.series[index])}" if spec.series else f"lc rgb {text(colour)}"
        using = f"using {column}:xtic(2)" if spec.kind == "grouped" else f"using 1:{column}:xtic(2)"
        plots.append(f"$data {using} {look} {name}")
    parts.append("plot " + ", ".join(plots))
    known = [
        "GPVAL_TERM_XMIN",
        "GPVAL_TERM_XMAX",
        "GPVAL_TERM_YMIN",
        "GPVAL_TERM_YMAX",
        "GPVAL_Y_MIN",
        "GPVAL_Y_MAX",
        "GPVAL_X_MIN",
        "GPVAL_X_MAX",
    ]
    parts.append(f'print sprintf("{",".join(["%.6g"] * len(known))}", {", ".join(known)})')
    return "\n".join(parts) + "\n"


_ALL = ("bar", "barh", "line", "pie", "scatter", "grouped", "lines")

LIBRARIES = (
    Library(name="matplotlib", licence="matplotlib (PSF-like)", kinds=_ALL, draw=_matplotlib),
    Library(
        name="seaborn",
        licence="BSD-3-Clause",
        kinds=("bar", "barh", "line", "grouped", "lines"),
        draw=_seaborn,
    ),
    Library(
        name="plotnine",
        licence="MIT",
        kinds=("bar", "barh", "line", "grouped", "lines"),
        draw=_plotnine,
    ),
    Library(
        name="altair",
        licence="BSD-3-Clause",
        kinds=("bar", "barh", "line", "pie", "grouped", "lines"),
        draw=_altair,
    ),
    Library(
        name="gnuplot", licence="gnuplot", kinds=("bar", "line", "grouped", "lines"), draw=_gnuplot
    ),
)
"""base R stays out: it is held out for evaluation."""

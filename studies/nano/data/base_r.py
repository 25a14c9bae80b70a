"""Charts of base R, the library that is held out whole: to evaluate with, never to learn from.

Needs the program Rscript (apt-get install r-base-core).
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from openmova.errors import UserError
from studies.nano.data.chart_spec import ChartSpec
from studies.nano.data.charts import draw_spec, questions
from studies.nano.data.record import Item

KINDS = ("bar", "barh", "line", "grouped", "lines")
FILLS = ("gray", "steelblue", "tomato", "darkgreen", "lightblue", "#4e79a7", "orange")
PALETTES = (
    ("gray20", "gray55", "gray85"),
    ("red", "blue", "darkgreen"),
    ("#66C2A5", "#FC8D62", "#8DA0CB"),
    ("black", "orange", "purple"),
)


def make(rng: random.Random) -> Item:
    """A chart with questions. Raises UserError where Rscript is missing."""
    spec = draw_spec(rng)
    while spec.kind not in KINDS:
        spec = draw_spec(rng)
    image, axis = draw(spec, rng)
    truth = {
        "library": "base R",
        "type": spec.kind,
        "labels": list(spec.labels),
        "series": list(spec.series),
        "values": [list(row) for row in spec.values],
        "range": axis,
    }
    return Item(
        domain="chart",
        source="base R",
        licence="GPL-2+",
        questions=questions(spec, rng),
        image=image,
        truth={"chart": truth},
    )


def draw(spec: ChartSpec, rng: random.Random) -> tuple[Image.Image, list[float]]:
    """The picture and the value axis's ends."""
    if shutil.which("Rscript") is None:
        raise UserError("charts of base R need the program Rscript: apt-get install r-base-core")
    with tempfile.TemporaryDirectory() as folder:
        file, picture = Path(folder) / "chart.R", Path(folder) / "chart.png"
        file.write_text(script(spec, rng, picture), encoding="utf-8")
        done = subprocess.run(["Rscript", str(file)], capture_output=True, text=True, check=True)
        image = Image.open(picture).convert("RGB")
    low, high = json.loads(done.stdout.strip().splitlines()[-1])
    return image, [low, high]


def script(spec: ChartSpec, rng: random.Random, picture: Path) -> str:
    """A program in R that draws the chart and prints the value axis's ends."""
    names = spec.series or ("",)
    colours = _words(rng.choice(PALETTES)[: len(names)] if spec.series else [rng.choice(FILLS)])
    las = rng.choice((0, 1, 2))
    if sum(map(len, spec.labels)) > 30:  # R leaves out labels that have no room
        las = 2
    wide = 4 + 0.5 * max(map(len, spec.labels))
    below, left = wide if las == 2 else 4.5, 4.5
    x, y = spec.label_axis, spec.value_axis
    if spec.kind == "barh":
        las, below, left, x, y = 1, 4.5, wide, y, x
    titles = f"main={_word(spec.title)}, xlab={_word(x)}, ylab={_word(y)}"
    rows = ", ".join(f"c({', '.join(map(str, row))})" for row in spec.values)
    lines = [
        f"png({_word(str(picture))}, {rng.randint(380, 760)}, {rng.randint(320, 560)})",
        f"par(mar=c({below:.1f}, {left:.1f}, 3, 1.5), las={las}, cex={rng.uniform(0.8, 1.1):.2f})",
        f"v <- rbind({rows})",
        f"labels <- {_words(spec.labels)}",
        f"names <- {_words(names)}",
        f"colours <- {colours}",
    ]
    if spec.kind in ("bar", "barh", "grouped"):
        flat = "horiz=TRUE" if spec.kind == "barh" else "horiz=FALSE"
        border = rng.choice(("'black'", "NA"))
        side = "xlim" if spec.kind == "barh" else "ylim"
        reach = rng.uniform(1.05, 1.3) if not spec.series else 1.35
        lines += [
            f"barplot(v, beside=TRUE, names.arg=labels, col=colours, border={border}, {flat}, "
            f"{side}=c(0, {reach:.2f} * max(v)), {titles})",
            rng.choice(("box()", "")),
        ]
        key = "fill=colours"
    else:
        low = rng.choice(("0", "min(v)"))
        kind, points = rng.choice(("b", "o", "l")), rng.choice((1, 16, 19))
        lines += [
            f"plot(NULL, xlim=c(1, ncol(v)), ylim=c({low}, 1.2 * max(v)), xaxt='n', {titles})",
            "axis(1, seq_along(labels), labels)",
            f"look <- list(type='{kind}', pch={points}, lwd=2)",
            "for (i in 1:nrow(v)) do.call(lines, c(list(v[i, ], col=colours[i]), look))",
            rng.choice(("grid(NA, NULL)", "")),
        ]
        key = "lty=1, lwd=2, col=colours"
    if spec.series:
        lines.append(f"legend('top', names, {key}, ncol={len(names)}, bty='{rng.choice('on')}')")
    ends = "1:2" if spec.kind == "barh" else "3:4"
    lines += [
        f"ends <- par('usr')[{ends}]",
        "invisible(dev.off())",
        "cat(sprintf('[%f, %f]\\n', ends[1], ends[2]))",
    ]
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _words(texts: Sequence[str]) -> str:
    return f"c({', '.join(map(_word, texts))})"

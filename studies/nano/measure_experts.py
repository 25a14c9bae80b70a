"""What the frozen experts of nano are worth, on pictures and pages of packages.

    python -m studies.nano.measure_experts text | things | names | charts | seconds

`text`: pages of PDFs against their text. `things`: 24 photos whose people, animals and so on were
counted by one person. `names`: cut-outs of Tux Paint, a few of them drawings, whose description has
a word that the expert knows. `charts`: those of a data folder that the head never saw. `layout`
needs the package rapid-layout.
Each part prints one line a source and the sum. Seconds are of the processor: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from openmova.checkpoints.nano import language_model_folder
from openmova.errors import UserError
from openmova.experts import Expert, build_expert
from openmova.experts.chart import Chart, ChartExpert
from openmova.experts.detector import NanoDet
from openmova.experts.lite import class_names, convert_lite_classifier
from openmova.experts.object import ObjectExpert
from openmova.experts.pool import expert_map
from openmova.experts.text import TextExpert
from studies.nano.chart import HELD_OUT, KIND_OF
from studies.nano.convert_nanodet import graph_folder
from studies.nano.data.record import PICTURES, read
from studies.nano.packages import debian
from studies.nano.pictures import as_batch
from studies.nano.words import expert as expert_of
from studies.nano.words import lite2_state

PDFS = (
    ("octave-doc", "usr/share/doc/octave/octave.pdf"),
    ("octave-doc", "usr/share/doc/octave/refcard-a4.pdf"),
    ("r-cran-vcd", "usr/lib/R/site-library/vcd/doc/strucplot.pdf"),
    ("r-cran-vcd", "usr/lib/R/site-library/vcd/doc/residual-shadings.pdf"),
    ("grace", "usr/share/doc/grace/UsersGuide.pdf.gz"),
    ("gnuplot-doc", "usr/share/doc/gnuplot/gnuplot.pdf"),
)
"""Documents of several makers, and the file of each in its package."""
NANODET = graph_folder() / "nanodet.onnx"
DPI = 150
WORDS = 80
"""A page with fewer is no page of text."""


class Page(NamedTuple):
    source: str
    picture: Image.Image
    text: str
    """In the reading order of pdftotext."""


def pdf_pages(count: int, seed: int = 0) -> list[Page]:
    """Pages of text, as many of each document, drawn by chance."""
    pages: list[Page] = []
    random_ = random.Random(seed)
    for package, name in PDFS:
        file = debian(package) / name
        with tempfile.TemporaryDirectory() as folder:
            if file.suffix == ".gz":
                copy = Path(folder) / file.stem
                copy.write_bytes(gzip.decompress(file.read_bytes()))
                file = copy
            info = _output("pdfinfo", str(file))
            total = int(re.search(r"Pages: +(\d+)", info)[1])  # type: ignore[index]
            found = 0
            for number in random_.sample(range(1, total + 1), total):
                where = ["-f", str(number), "-l", str(number)]
                text = _output("pdftotext", *where, str(file), "-")
                if found == count or len(text.split()) < WORDS:
                    continue
                start = Path(folder) / f"page{number}"
                _output("pdftoppm", "-r", str(DPI), "-png", "-singlefile", *where, str(file), start)
                with Image.open(start.with_suffix(".png")) as picture:
                    pages.append(Page(f"{file.stem} {number}", picture.convert("RGB"), text))
                found += 1
    return pages


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's."""
    codes = np.frombuffer(b.encode("utf-32-le"), "<u4")
    places = np.arange(len(codes) + 1)
    row = places.copy()
    for i, char in enumerate(a, start=1):
        best = np.minimum(row[:-1] + (codes != ord(char)), row[1:] + 1)
        row = np.minimum.accumulate(np.concatenate([[i], best]) - places) + places
    return int(row[-1])


def plain(text: str) -> str:
    """Without what a reader need not give back: spaces, hyphens at line ends, kinds of quotes."""
    text = text.replace("\u2010", "-").replace(" | ", " ").replace("\f", "")
    text = re.sub(r"(\. *){4,}|\.{4,}", " ", text)  # leaders in a table of contents
    for fancy, simple in (("‘’`´", "'"), ("“”", '"'), ("–—−", "-")):
        text = re.sub(f"[{fancy}]", simple, text)
    return text.replace("ﬁ", "fi").replace("ﬂ", "fl")


def frozen(kind: str, **keywords: Any) -> Expert:
    """An expert of nano with real weights; its token codes are not needed here."""
    tokenizer = str(language_model_folder() / "tokenizer.json")
    expert = build_expert(
        {"kind": kind, "name": kind, "descriptions": [kind], **keywords} | {"tokenizer": tokenizer}
    )
    if isinstance(expert, ObjectExpert):
        expert.network.load_state_dict(convert_lite_classifier(lite2_state()), strict=False)
    return expert


def measure_text(pages_per_document: int) -> None:
    expert = frozen("text")
    assert isinstance(expert, TextExpert)
    room = 2 * expert.grid[0] * expert.grid[1]
    rows = []
    for page in pdf_pages(pages_per_document):
        start = time.process_time()
        lines = expert.lines(expert.view(*as_batch(page.picture))[0])
        seconds = time.process_time() - start
        read, true = plain(expert.text(lines)), plain(page.text)
        words, wanted = Counter(read.split()), Counter(true.split())
        found = sum((words & wanted).values()) / wanted.total()
        solid = ["".join(text.split()) for text in (read, true)]
        right = 1 - edit_distance(*solid) / len(solid[1])
        counts_ = [Counter(text) for text in solid]
        same = (counts_[0] & counts_[1]).total() / max(len(text) for text in solid)
        tokens = len(expert.codes.encode(expert.text(lines)))
        row = (right, found, same, seconds, tokens, min(1, room / max(tokens, 1)))
        rows.append(row)
        print(
            f"{page.source:28} in order {right:6.1%}  words {found:6.1%}  characters {same:6.1%}  "
            f"{seconds:.2f} s  {tokens} tokens, kept {row[-1]:.0%}",
            flush=True,
        )
    mean, median = np.array(rows).mean(0), np.median(np.array(rows), 0)
    print(
        f"{len(rows)} pages, mean (median): in order {mean[0]:.1%} ({median[0]:.1%}), words "
        f"{mean[1]:.1%} ({median[1]:.1%}), characters {mean[2]:.1%} ({median[2]:.1%}), "
        f"{mean[3]:.2f} s, {mean[4]:.0f} tokens, kept {mean[5]:.1%}"
    )


PHOTOS = {
    ("darknet", "usr/share/darknet/data"): {
        "dog.jpg": {"dog": 1, "bicycle": 1, "car": 1},
        "eagle.jpg": {"bird": 1},
        "giraffe.jpg": {"giraffe": 1, "zebra": 1},
        "horses.jpg": {"horse": 4},
        "person.jpg": {"person": 1, "dog": 1, "horse": 1},
    },
    ("kphotoalbum", "usr/share/kphotoalbum/demo"): {
        "bar55.jpg": {"person": 4, "wine glass": 1},
        "bar55_2.jpg": {"person": 2, "wine glass": 3},
        "blackie.jpg": {},
        "donna.jpg": {"dog": 1},
        "donna_2.jpg": {"dog": 1},
        "grand_canyon_2.jpg": {"person": 1},
        "grand_canyon_3.jpg": {},
        "jesper.jpg": {"person": 1},
        "jesper_2.jpg": {"person": 1},
        "pool.jpg": {"person": 2},
        "qt-logo.jpg": {"person": 3},
        "skagen.jpg": {},
        "skagen_2.jpg": {},
        "spiff.jpg": {},
        "spiff_2.jpg": {},
        "sunset.jpg": {},
    },
    ("labelme-examples", "usr/share/doc/labelme-examples/examples/semantic_segmentation"): {
        "data_annotated/2011_000003.jpg": {"person": 2},
        "data_annotated/2011_000006.jpg": {"person": 3},
        "data_annotated/2011_000025.jpg": {"bus": 2},
    },
}
"""How many of each class are in photos whose things can be counted; a rabbit is none of COCO's.
Of the last three only people and buses were counted."""


def measure_things() -> None:
    for threshold in (0.35, 0.4, 0.45, 0.5, 0.55):
        expert = frozen("location", path=str(NANODET), threshold=threshold)
        assert isinstance(expert, NanoDet)
        right = seen = there = pictures = people = 0
        for (package, folder), photos in PHOTOS.items():
            for name, truth in photos.items():
                with Image.open(debian(package) / folder / name) as picture:
                    things = expert.things(expert.view(*as_batch(picture))[0])
                found = Counter(expert.classes[thing.label] for thing in things)
                if package == "labelme-examples":
                    found = Counter({k: n for k, n in found.items() if k in ("person", "bus")})
                right += (found & Counter(truth)).total()
                seen, there = seen + found.total(), there + sum(truth.values())
                pictures += 1
                people += found["person"] == truth.get("person", 0)
        print(
            f"threshold {threshold}: recall {right / there:.0%} of {there}, precision "
            f"{right / seen:.0%} of {seen}, people counted right in {people} of {pictures} photos",
            flush=True,
        )


STAMPS = ("animals", "food", "vehicles", "household", "hobbies", "clothes", "plants", "town")


def labelled_stamps() -> list[tuple[Path, set[str]]]:
    """Cut-outs, and the everyday words and class names in the first line of their description."""
    names, words = class_names()
    known = set(names) | set(words)
    root = debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    stamps = []
    for file in sorted(path for kind in STAMPS for path in (root / kind).rglob("*.png")):
        text = file.with_suffix(".txt")
        if "cartoon" in file.parts or not text.exists():
            continue
        told = re.findall(r"[a-z]+", text.read_text(encoding="utf-8").splitlines()[0].lower())
        pairs = [" ".join(pair) for pair in pairwise(told)]
        truth = {word for word in [*told, *pairs] if word in known}
        if truth:
            stamps.append((file, truth))
    return stamps


def measure_names() -> None:
    names, _ = class_names()
    for size in (224, 260, 300, 448):
        expert = frozen("object", size=size)
        assert isinstance(expert, ObjectExpert)
        stamps = labelled_stamps()
        first = three = five = 0
        for file, truth in stamps:
            with Image.open(file) as stamp:
                cut = stamp.convert("RGBA")
            page = Image.new("RGBA", cut.size, "white")
            page.alpha_composite(cut)
            (chances,) = expert.network.chances(expert.look(*as_batch(page)))
            lines = ObjectExpert.text(chances).splitlines()
            guesses = [re.split(r" \d+%", line)[0] for line in lines]
            exact = [names[i] for i in chances.topk(5).indices.tolist()]
            good = [guess in truth for guess in guesses]
            first += good[0] or exact[0] in truth
            three += any(good) or exact[0] in truth
            five += any(good) or not truth.isdisjoint(exact)
        count = len(stamps)
        print(
            f"view {size}: {count} cut-outs, right word first {first / count:.0%}, among the three "
            f"told {three / count:.0%}, or among five classes {five / count:.0%}",
            flush=True,
        )


def measure_seconds() -> None:
    with Image.open(debian("darknet") / "usr/share/darknet/data/dog.jpg") as photo:
        inputs = as_batch(photo)
    for kind, keywords in (
        ("location", {"path": str(NANODET)}),
        ("object", {}),
        ("text", {}),
        ("layout", {}),
    ):
        try:
            expert = frozen(kind, **keywords)
        except UserError as error:
            print(f"{kind}: {error}")
            continue
        expert_map(expert, *inputs)
        rounds, start = 10, time.process_time()
        for _ in range(rounds):
            expert_map(expert, *inputs)
        print(f"{kind}: {(time.process_time() - start) / rounds * 1000:.0f} ms a photo", flush=True)
    base = build_expert({"kind": "lite2", "name": "base", "descriptions": ["base"], "size": 448})
    expert_map(base, *inputs)
    start = time.process_time()
    for _ in range(10):
        expert_map(base, *inputs)
    print(f"base, 448 px: {(time.process_time() - start) * 100:.0f} ms a photo")


def measure_charts(folder: Path) -> None:
    """Bars and lines of the charts held out from the head: values within 5% of the axis."""
    expert = expert_of("chart")
    assert isinstance(expert, ChartExpert)
    counts: dict[str, Counter[str]] = {}
    seconds = []
    for row in list(read(folder / PICTURES))[-HELD_OUT:]:
        truth = row["chart"]
        with Image.open(folder / row["image"]) as picture:
            inputs = as_batch(picture)
        start = time.process_time()
        chart = expert.look(expert.view(*inputs)[0])
        seconds.append(time.process_time() - start)
        told = Counter(charts=1, said=int(chart is not None and bool(chart.labels)))
        keys: tuple[str, ...] = (truth["type"],)
        if truth["type"] in KIND_OF:
            keys = (truth["library"], truth["type"], "all bars and lines")
        if truth["type"] == "pie":
            (values,) = truth["values"]
            shares = [100 * value / sum(values) for value in values]
            truth |= {"values": [shares], "range": (0, 100)}
        if truth["type"] != "scatter":
            told += judged(chart, truth)
        for key in keys:
            counts.setdefault(key, Counter()).update(told)
    for key, told in counts.items():
        values, labels = max(told["values"], 1), max(told["labels"], 1)
        print(
            f"{key:18} {told['said']} of {told['charts']} told; values {told['right'] / values:.1%}"
            f" of {values}, labels {told['named'] / labels:.1%} of {labels}",
            flush=True,
        )
    print(f"{np.mean(seconds):.2f} s a chart")


def judged(chart: Chart | None, truth: dict[str, Any]) -> Counter[str]:
    """How many values and labels there are, values that are said within 5% of the axis under the
    right names, and labels that are right."""

    def same(text: str) -> str:
        return re.sub(r"\W", "", text).lower()

    low, high = truth.get("range") or (0, max(map(max, truth["values"])))
    said: dict[tuple[str, str], float] = {}
    for name, row in zip(chart.series or ("",), chart.values, strict=False) if chart else ():
        for label, value in zip(chart.labels if chart else (), row, strict=False):
            if value is not None:
                said[same(name), same(label)] = value
    labels = {label for _, label in said}
    told = Counter(labels=len(truth["labels"]))
    told["named"] = sum(same(label) in labels for label in truth["labels"])
    for name, row in zip(truth["series"] or [""], truth["values"], strict=True):
        for label, value in zip(truth["labels"], row, strict=True):
            read = said.get((same(name), same(label)))
            told["values"] += 1
            told["right"] += read is not None and abs(read - value) <= 0.05 * (high - low)
    return told


PARTS: dict[str, Callable[[], None]] = {
    "things": measure_things,
    "names": measure_names,
    "seconds": measure_seconds,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["text", "charts", *PARTS])
    parser.add_argument("--pages", type=int, default=4, help="of each document")
    parser.add_argument("--data", type=Path, default=Path("runs/nano-data"), help="for charts")
    arguments = parser.parse_args()
    with torch.inference_mode():
        if arguments.part == "text":
            measure_text(arguments.pages)
        elif arguments.part == "charts":
            measure_charts(arguments.data / "charts")
        else:
            PARTS[arguments.part]()


if __name__ == "__main__":
    main()

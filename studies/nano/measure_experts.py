"""What the frozen experts of nano are worth, on pictures and pages of packages.

    python -m studies.nano.measure_experts text

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
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from openmova.checkpoints.nano import language_model_folder
from openmova.experts import build_expert
from openmova.experts.text import TextExpert
from studies.nano.packages import debian

PDFS = (
    ("octave-doc", "usr/share/doc/octave/octave.pdf"),
    ("octave-doc", "usr/share/doc/octave/refcard-a4.pdf"),
    ("r-cran-vcd", "usr/lib/R/site-library/vcd/doc/strucplot.pdf"),
    ("r-cran-vcd", "usr/lib/R/site-library/vcd/doc/residual-shadings.pdf"),
    ("grace", "usr/share/doc/grace/UsersGuide.pdf.gz"),
    ("gnuplot-doc", "usr/share/doc/gnuplot/gnuplot.pdf"),
)
"""Documents of several makers, and the file of each in its package."""
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


def batch(picture: Image.Image) -> tuple[Tensor, Tensor]:
    """What an expert's view takes, for one picture."""
    array = np.array(picture.convert("RGB"))
    return torch.from_numpy(array).movedim(-1, 0)[None], torch.tensor([array.shape[:2]])


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


def measure_text(pages_per_document: int) -> None:
    expert = build_expert(
        {
            "kind": "text",
            "name": "text",
            "descriptions": ["reads"],
            "tokenizer": str(language_model_folder() / "tokenizer.json"),
        }
    )
    assert isinstance(expert, TextExpert)
    room = 2 * expert.grid[0] * expert.grid[1]
    rows = []
    for page in pdf_pages(pages_per_document):
        start = time.process_time()
        (lines,) = expert.read(*batch(page.picture))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["text"])
    parser.add_argument("--pages", type=int, default=4, help="of each document")
    arguments = parser.parse_args()
    with torch.inference_mode():
        measure_text(arguments.pages)


if __name__ == "__main__":
    main()

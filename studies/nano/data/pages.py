# ruff: noqa: E501 - patterns
"""Pages of real PDFs of Debian's documentation packages, with the PDF's own words and boxes."""

from __future__ import annotations

import random
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from openmova.errors import UserError
from studies.nano.data.documents import line_asks
from studies.nano.data.effects import worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import ask
from studies.nano.data.record import Box, Item, Question, Word
from studies.nano.data.sources import SOURCES, licence
from studies.nano.packages import debian

_XML = "{http://www.w3.org/1999/xhtml}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a page; height is that of its middle word, in points."""

    words: tuple[Word, ...]
    height: float
    block: int

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def top(self) -> float:
        return min(word.box[1] for word in self.words)

    @property
    def middle(self) -> float:
        return statistics.median((word.box[1] + word.box[3]) / 2 for word in self.words)


@dataclass(frozen=True, kw_only=True)
class PageText:
    """A page's lines in reading order, in points, and its size."""

    size: tuple[float, float]
    lines: tuple[Line, ...]


def make(rng: random.Random) -> Item:
    """A page as a picture, with up to five questions."""
    package, file, number, text = page(rng)
    pixels = rng.choice((900, 1000, 1100, 1200, 1300))
    image = picture_of(file, number, pixels)
    scale = image.height / text.size[1]
    asked = questions(text, rng, rng.randint(3, 5), picture=True)
    if not asked:
        return make(rng)
    words = tuple(
        Word(text=word.text, box=scaled(word.box, scale))
        for line in text.lines
        for word in line.words
    )
    return Item(
        domain="page",
        source=package,
        licence=licence(package),
        questions=(*asked, *kind_questions(rng, "document", 0.1)),
        image=worn(image, rng) if rng.random() < 0.25 else image,
        words=words,
        truth={"file": file.name, "page": number},
    )


def scaled(box: Box, scale: float) -> Box:
    """A box in points as one in pixels."""
    left, top, right, bottom = box
    return (left * scale, top * scale, right * scale, bottom * scale)


def page(rng: random.Random) -> tuple[str, Path, int, PageText]:
    """A page that has text: its package, file and number (from 1); no image is made of it yet."""
    while True:
        package = rng.choice([name for name, s in SOURCES.items() if s.what == "PDF manual"])
        file = rng.choice(files(package))
        number = rng.randint(1, page_count(file))
        text = text_of(file, number)
        if 40 < sum(len(line.words) for line in text.lines) < 900 and _readable(text):
            return package, file, number, text


def _readable(text: PageText) -> bool:
    """Whether the text layer holds letters and not a font's private codes."""
    all_text = "".join(line.text for line in text.lines)
    return sum(c.isascii() or c.isalpha() for c in all_text) > 0.97 * len(all_text)


def questions(
    text: PageText, rng: random.Random, count: int, *, picture: bool
) -> tuple[Question, ...]:
    """Up to `count` questions. picture: also about what only the look of the page tells."""
    found: list[Question] = []

    def add(task: str, answer: str, key: str = "", **slots: str) -> None:
        question = ask(rng, key or task, **slots)
        found.append(Question(task=task, question=question, answer=answer))

    lines = text.lines
    beside = rows(lines)
    texts = [tuple(line.text for line in row) for row in beside]
    asks = list(line_asks(texts, rng))
    for chosen in rng.sample(asks, min(len(asks), count)):
        add(chosen.task, chosen.answer, chosen.key, **chosen.slots)
    number = _page_number(text, lines)
    if number:
        add("page-number", number)
    heads = _headings(lines) if picture else []
    if len(heads) == 1:
        add("heading", heads[0])
    for left, right in _neighbours(texts):
        add("cell", right, "beside", left=left)
    for topic, meaning in _definitions(lines):
        add("prose", meaning, "about", topic=topic)
    for label, caption in _captions(lines):
        add("caption", caption, label=label)
    rng.shuffle(found)
    weights = {"line": 0, "next-words": 0}
    # What is special of the page before what every page has; two of those at most.
    found.sort(key=lambda q: weights.get(q.task, 1), reverse=True)
    special = [q for q in found if weights.get(q.task, 1)][:3]
    common = [q for q in found if not weights.get(q.task, 1)]
    return tuple({q.question: q for q in (special + common)[:count]}.values())


def rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines that stand side by side, from the top down and from left to right."""
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if found and abs(line.middle - found[-1][-1].middle) < 0.4 * line.height:
            found[-1].append(line)
        else:
            found.append([line])
    return [sorted(row, key=lambda line: line.words[0].box[0]) for row in found]


def _neighbours(texts: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Short texts with what stands at their right: cells of tables above all."""
    everything = "\n".join(" ".join(row) for row in texts)
    return [
        (left, right)
        for row in texts
        for left, right in pairwise(row)
        if re.search(r"[^\W\d]{2}", left) and re.search(r"\w", right)
        and len(left) < 40 and len(right) < 70 and everything.count(left) == 1 and '"' not in left
    ]  # fmt: skip


def _page_number(text: PageText, lines: Sequence[Line]) -> str:
    """A number alone, or at the end or start of the first or last line."""
    height = text.size[1]
    edge = [line for line in lines if line.top < 0.1 * height or line.top > 0.88 * height]
    found = [
        w.text for line in edge for w in line.words if re.fullmatch(r"\d{1,4}|[ivxl]{1,6}", w.text)
    ]
    of_all = [re.fullmatch(r"(\d{1,4}) / \d{1,4}", line.text) for line in edge]
    found = [match[1] for match in of_all if match] or found
    return found[0] if len(found) == 1 else ""


def _headings(lines: Sequence[Line]) -> list[str]:
    """Lines that are higher than the page's text and short."""
    sizes = sorted(line.height for line in lines for _ in line.words)
    usual = sizes[len(sizes) // 2]
    tall = [line for line in lines if line.height > 1.15 * usual and len(line.text) < 70]
    return [line.text for line in tall if re.match(r"[\w(].*[A-Za-z]{3}.*[^.,;]$", line.text)]


def _captions(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """`Figure 3: ...` and its like that fit on a line."""
    found = []
    for line in lines:
        match = re.fullmatch(
            r"((?:Figure|Table|Listing|Abbildung|Tabelle) [\d.]+\d)[:.] (.{8,90})", line.text
        )
        if match:
            found.append((match[1], match[2].rstrip(".")))
    return found


def _definitions(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Sentences within a line like `X is the ...`."""
    found = []
    for line in lines:
        match = re.fullmatch(
            r"(?:The |A |An )?([A-Z]?[\w-]{3,20}(?: [\w-]{3,15})?) is (an? [^.]{12,80}|the [^.]{12,80})\.",
            line.text,
        )
        if match and match[1].split()[0].lower() not in _NO_TOPICS:
            found.append((match[1], match[2]))
    return found


_NO_TOPICS = (
    "this",
    "that",
    "here",
    "there",
    "it",
    "which",
    "what",
    "default",
    "result",
    "above",
    "following",
    "one",
    "other",
    "another",
    "first",
    "second",
    "also",
    "note",
    "but",
    "and",
)


@cache
def files(package: str) -> tuple[Path, ...]:
    found = [
        file
        for file in debian(package).rglob("*.pdf")
        if file.is_file() and not re.search(r"\.(ja|zh|ru|pt-BR|hu|ca)\.|_pt-BR|sample", file.name)
    ]
    return tuple(sorted(found))


@cache
def page_count(file: Path) -> int:
    """How many pages a PDF has."""
    (found,) = re.findall(r"^Pages:\s+(\d+)", _run("pdfinfo", str(file)), re.M)
    return int(found)


@lru_cache(maxsize=64)
def text_of(file: Path, number: int) -> PageText:
    """What the PDF itself says is written on a page, in its order."""
    xml = _run("pdftotext", "-bbox-layout", "-f", str(number), "-l", str(number), str(file), "-")
    xml = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", xml)
    root = ElementTree.fromstring(xml)
    sheet = next(root.iter(f"{_XML}page"))
    lines = []
    for block_number, block in enumerate(sheet.iter(f"{_XML}block")):
        for line in block.iter(f"{_XML}line"):
            words = tuple(
                Word(
                    text=w.text.strip(),
                    box=(
                        _point(w, "xMin"),
                        _point(w, "yMin"),
                        _point(w, "xMax"),
                        _point(w, "yMax"),
                    ),
                )
                for w in line.iter(f"{_XML}word")
                if w.text and w.text.strip()
            )
            if words:
                height = statistics.median(w.box[3] - w.box[1] for w in words)
                lines.append(Line(words=words, height=height, block=block_number))
    lines.sort(key=lambda line: (line.block, line.top))
    return PageText(size=(_point(sheet, "width"), _point(sheet, "height")), lines=tuple(lines))


def _point(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name])


def picture_of(file: Path, number: int, pixels: int) -> Image.Image:
    """The page with its longer side that long."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "page"
        pick = ("-f", str(number), "-l", str(number), "-singlefile")
        _run("pdftoppm", "-png", "-scale-to", str(pixels), *pick, str(file), str(base))
        return Image.open(base.with_suffix(".png")).convert("RGB")


def _run(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        raise UserError(f"pages need the program {program}: apt-get install poppler-utils")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout

"""What the experts would say of rendered pictures, from the true boxes: no expert has to read them.

    python -m studies.nano.words_from_boxes runs/nano-data/pages runs/nano-data/screens --layout 600

Writes DIR/words.jsonl as studies.nano.words does. `text`: the words of a picture as lines in the
text expert's order. `layout`: of the first pictures, by running the layout expert.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from openmova.experts.text import TextExpert
from openmova.experts.text_lines import Box, Line, reading_order
from openmova.experts.text_tables import name_cells
from openmova.images.opening import load_image
from studies import new_parser
from studies.nano.data.record import PICTURES, read
from studies.nano.pictures import as_batch
from studies.nano.words import say

WORDS_APART = 0.6
"""Of the height: the space from which on two words are lines of their own."""


def lines_of(words: Sequence[Sequence[Any]]) -> list[Line]:
    """Words [text, left, top, right, bottom] -> the lines that a text detector finds."""
    lines: list[list[Any]] = []
    for text, left, top, right, bottom in sorted(words, key=lambda w: ((w[2] + w[4]) / 2, w[1])):
        height = min(bottom - top, right - left)
        for line in reversed(lines[-40:]):
            same = min(line[4], bottom) - max(line[2], top) > 0.6 * min(
                bottom - top, line[4] - line[2]
            )
            if same and -0.3 * height < left - line[3] < WORDS_APART * height:
                line[0] = f"{line[0]} {text}"
                line[2:] = [min(line[2], top), max(line[3], right), max(line[4], bottom)]
                break
        else:
            lines.append([text, left, top, right, bottom])
    return [
        Line(text, 1.0, Box((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 0.0))
        for text, x0, y0, x1, y1 in lines
    ]


def text_of(words: Sequence[Sequence[Any]]) -> str:
    """The text expert's words for true boxes."""
    lines = lines_of(sorted(words, key=lambda w: w[1]))
    rows = reading_order([line.box for line in lines])
    return TextExpert.text(name_cells([[lines[i] for i in row] for row in rows]))


def write_words(folder: Path, layout: int) -> None:
    """Every picture's words; replaces DIR/words.jsonl."""
    pictures = list(read(folder / PICTURES))
    with (folder / "words.jsonl").open("w", encoding="utf-8") as out:
        for number, picture in enumerate(tqdm(pictures, desc=folder.name, unit=" pictures")):
            said = {"id": picture["id"]}
            if "words" in picture:  # not every library tells its boxes
                said["text"] = text_of(picture["words"])
            if number < layout:
                said["layout"] = say("layout", *as_batch(load_image(folder / picture["image"])))
            out.write(json.dumps(said, ensure_ascii=False) + "\n")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--layout", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for folder in arguments.folders:
        write_words(folder, arguments.layout)


if __name__ == "__main__":
    main()

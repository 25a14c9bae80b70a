"""Pictures that people have to samples: a folder for each name, or a table with questions.

`classes/NAME/*.jpg` asks of each picture what it shows, in one of QUESTIONS in turn; a table is CSV
with the columns image, question and answer, whose paths start from its folder.
"""

from __future__ import annotations

import csv
from pathlib import Path

from openmova.data.sample import Sample, Turn
from openmova.errors import UserError, reason

QUESTIONS = (
    "What is this?",
    "What do you see in this picture?",
    "Which one is this?",
    "What is shown here?",
    "What is it called?",
    "What kind of thing is this?",
    "What is in the photo?",
    "Which product is this?",
    "What object is this?",
    "Name the thing in the picture.",
    "What am I looking at?",
    "Can you tell me what this is?",
)
COLUMNS = ("image", "question", "answer")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def own_samples(path: Path) -> list[Sample]:
    """The samples of a folder of folders, or of a CSV file.

    Raises UserError if it holds none, or names a picture that is not there.
    """
    samples = _of_folder(path) if path.is_dir() else _of_table(path)
    if not samples:
        raise UserError(
            f"{str(path)!r} holds no pictures: put them into a folder for each name, such as "
            f"{path.name}/apple/1.jpg, or give a table"
        )
    return samples


def _of_folder(folder: Path) -> list[Sample]:
    """The name of a folder, its underscores as spaces, is the answer."""
    samples: list[Sample] = []
    for of_name in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        files = sorted(f for f in of_name.iterdir() if f.suffix.lower() in ENDINGS)
        for file in files:
            question = QUESTIONS[len(samples) % len(QUESTIONS)]
            samples.append(_sample(file, question, of_name.name.replace("_", " ")))
    return samples


def _of_table(file: Path) -> list[Sample]:
    samples = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened)
            if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise UserError(
                    f"{file.name} has no column {', '.join(lacking)}: its first line is "
                    f"{','.join(COLUMNS)}"
                )
            for row in rows:
                image, question, answer = ((row[name] or "").strip() for name in COLUMNS)
                if not (image and question and answer):
                    raise UserError(
                        f"line {rows.line_num} of {file.name} lacks a picture, a question or an "
                        "answer: fill it in, or remove the line"
                    )
                samples.append(_sample(file.parent / image, question, answer))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"cannot read {str(file)!r} ({reason(error)}): give a folder of pictures or a CSV file"
        ) from error
    if absent := [str(sample.image) for sample in samples if not Path(str(sample.image)).is_file()]:
        raise UserError(
            f"{len(absent)} of the pictures of {file.name} are not there, such as {absent[0]!r}: "
            "check the paths"
        )
    return samples


def _sample(image: Path, question: str, answer: str) -> Sample:
    turns = (Turn(role="user", text=question), Turn(role="assistant", text=answer))
    return Sample(id=f"{image.parent.name}/{image.name}", image=image, turns=turns)

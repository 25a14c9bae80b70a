"""Samples written as LLaVA JSON, which every trainer of such models reads.

Paths of pictures start from the folder of the file; pictures that were bytes, out of a parquet file
or a tar, are written into a folder beside it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from openmova.data.records import MARKER
from openmova.data.sample import Sample
from openmova.errors import UserError

SPEAKERS = {"user": "human", "assistant": "gpt"}
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}


def write_llava(samples: Iterable[Sample], path: Path) -> None:
    """Write the samples as a JSON array; the file is there whole or not at all.

    Raises UserError if it can't be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        records = [_record(sample, number, path) for number, sample in enumerate(samples)]
        unfinished = path.with_name(f"{path.name}.tmp")
        unfinished.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(unfinished, path)


def _record(sample: Sample, number: int, path: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"id": sample.id}
    marker = ""
    if sample.image is not None:
        record["image"] = _relative(sample.image, number, path)
        marker = f"{MARKER}\n"
    record["conversations"] = [
        {"from": SPEAKERS[turn.role], "value": (marker if place == 0 else "") + turn.text}
        for place, turn in enumerate(sample.turns)
    ]
    if sample.experts is not None:
        record["experts"] = list(sample.experts)
    if sample.domain:
        record["domain"] = sample.domain
    if sample.routing:
        record["routing"] = True
    return record


def _relative(image: Path | bytes | Image.Image, number: int, path: Path) -> str:
    """The picture's path from the file's folder; written there if it has none yet."""
    if isinstance(image, Path):
        return Path(os.path.relpath(image, path.parent)).as_posix()
    if isinstance(image, Image.Image):
        content = io.BytesIO()
        image.save(content, "PNG")
        image = content.getvalue()
    folder = path.with_name(f"{path.stem}-images")
    folder.mkdir(exist_ok=True)
    ending = next((end for magic, end in ENDINGS.items() if image.startswith(magic)), ".img")
    file = folder / f"{number:06d}{ending}"
    file.write_bytes(image)
    return file.relative_to(path.parent).as_posix()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An error of the system while this is written becomes a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"can't write {str(path)!r} ({error.strerror}): make room there, or give another place"
        ) from error

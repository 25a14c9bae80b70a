"""Data files for the tests: records of both formats, pictures, tar shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Sample
from openmova.data.sources import Samples


def picture(colour: str = "red", side: int = 6, format: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, format)
    return data.getvalue()


def llava(
    question: str = "<image>\nWhat is this?", answer: str = "A square.", **changes: Any
) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "s", "image": "red.png", "conversations": turns, **changes}


def messages(**changes: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A square."}]},
    ]
    return {"messages": turns, "images": ["red.png"], **changes}


def write_lines(path: Path, records: list[Any]) -> Path:
    """A JSONL file beside the picture red.png; a text among the records is written as it is."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (path.parent / "red.png").write_bytes(picture())
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def shard_members(count: int, start: int = 0) -> dict[str, bytes]:
    members = {}
    for number in range(start, start + count):
        members[f"{number:04}.json"] = json.dumps(llava(id=f"s{number}")).encode()
        members[f"{number:04}.png"] = picture()
    return members


def write_samples(kind: str, folder: Path, count: int) -> Path:
    rows = [llava(id=f"s{i}", experts=["sam"]) for i in range(count)]
    if kind == "jsonl":
        return write_lines(folder / "a.jsonl", rows)
    write_lines(folder / "metadata.jsonl", rows)
    if kind == "json":
        (folder / "a.json").write_text(json.dumps(rows))
        return folder / "a.json"
    if kind == "imagefolder":
        return folder
    if kind == "tar":
        members: dict[str, bytes] = {}
        for i, row in enumerate(rows):
            members |= {f"{i}.json": json.dumps(row).encode(), f"{i}.png": picture()}
        return write_tar(folder / "a.tar", members)
    datasets = pytest.importorskip("datasets")
    images = [{"bytes": picture(), "path": None}]
    hf = [messages(id=f"s{i}", experts=["sam"], images=images) for i in range(count)]
    table = datasets.Dataset.from_list(hf)
    (folder / "metadata.jsonl").unlink()
    if kind == "parquet":
        table.to_parquet(str(folder / "a.parquet"))
        return folder / "a.parquet"
    if kind == "images":  # as trl's datasets are: the column is one of pictures
        feature = datasets.List(datasets.Image())
        table.cast_column("images", feature).to_parquet(str(folder / "a.parquet"))
        return folder
    table.save_to_disk(str(folder / "saved"))
    return folder / "saved"


def sort_out(samples: Samples) -> tuple[list[Sample], list[str]]:
    """The good samples, opened, and the reasons of the bad ones."""
    good, bad = [], []
    for index in range(len(samples)):
        try:
            good.append(samples[index].open())
        except BadSample as error:
            assert error.source == samples.name
            assert error.id
            bad.append(error.reason)
    return good, bad

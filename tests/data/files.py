"""Data files for the tests: records of both formats, pictures, tar shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image


def picture(colour: str = "red", side: int = 6) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, "PNG")
    return data.getvalue()


def llava(**changes: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>\nWhat is this?"},
        {"from": "gpt", "value": "A square."},
    ]
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

"""A record of a data file to a `Sample` (LLaVA's `conversations` or HF's `messages`), and back.

Both may have `id`, `experts` (a list of names), `domain`, `routing`, `dependency` (a number from
-1 to 1) and `evidence` (a list of words). The picture is in `image` (LLaVA; one) or `images` (HF; a
list of one), as a path, as bytes, or as the `{"bytes", "path"}` of HF datasets. Its marker,
`<image>` in the text or `{"type": "image"}` among the parts, is taken out: a picture always comes
first.

Samples are written as LLaVA JSON, which every trainer of such models reads. Paths of pictures start
from the folder of the file; pictures that were bytes, out of a parquet file or a tar, are written
into a folder beside it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Role, Sample, Turn
from openmova.runtime.files import output_error, write_text

MARKER = "<image>"
IMAGE_KEYS = ("image", "images", "file_name")
"""The last is what HF's image folders call it in their metadata.jsonl."""
ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
LLAVA_ROLES = {"user": "human", "assistant": "gpt"}
SEVERAL = "several images ({}): one a sample is supported, give each its own sample"
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}


def parse_record(record: Mapping[str, Any], *, id: str, source: str, images: Path) -> Sample:
    """The sample that a record means.

    id: of a record that has none. images: the folder that relative paths start from.
    Raises BadSample with the reason if it means none.
    """
    own = _field(record, "id", lambda value: isinstance(value, (str, int)), "a text or a number")
    id = id if own is None else str(own)
    try:
        image = _image(record, images)
        turns, marked = _turns(record)
        if marked and image is None:
            raise BadSample(f"its text has {MARKER}, but there is no image")
        experts = _field(record, "experts", _is_list_of_texts, "a list of names")
        evidence = _field(record, "evidence", _is_list_of_texts, "a list of words")
        return Sample(
            id=id,
            image=image,
            turns=turns,
            experts=None if experts is None else tuple(experts),
            domain=_field(record, "domain", lambda value: isinstance(value, str), "a text") or "",
            source=source,
            routing=bool(_field(record, "routing", lambda v: isinstance(v, bool), "true or false")),
            dependency=_field(record, "dependency", _is_dependency, "a number from -1 to 1"),
            evidence=tuple(evidence or ()),
        )
    except BadSample as bad:
        raise bad.of(id=id, source=source) from None


def _field(
    record: Mapping[str, Any], key: str, fits: Callable[[Any], bool], remedy: str
) -> Any | None:
    value = record.get(key)
    if value is not None and not fits(value):
        raise BadSample(f"its {key!r} is {_short(value)}: give {remedy}")
    return value


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def _is_dependency(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1 <= value <= 1


def _turns(record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], bool]:
    """The turns without markers, and whether the picture's place was marked."""
    if "conversations" in record:
        listed, role_key, text_key = record["conversations"], "from", "value"
    elif "messages" in record:
        listed, role_key, text_key = record["messages"], "role", "content"
    else:
        found = ", ".join(map(str, list(record)[:6])) or "nothing"
        raise BadSample(f"it has neither conversations nor messages, but {found}")
    if not isinstance(listed, (list, tuple)):
        raise BadSample(f"its turns are no list but {_short(listed)}")
    turns, markers = [], 0
    for number, item in enumerate(listed, start=1):
        if not isinstance(item, Mapping) or role_key not in item or text_key not in item:
            raise BadSample(f"turn {number} has no {role_key!r} and {text_key!r}: {_short(item)}")
        role, text = _role(item[role_key], number), _content(item[text_key], number)
        if count := text.count(MARKER):
            markers += count
            if markers > 1:
                raise BadSample(SEVERAL.format(f"{markers} {MARKER} in the text"))
            if number > 1:
                raise BadSample(f"{MARKER} is in turn {number}: the picture belongs to the first")
            text = _remove_marker(text)
        turns.append(Turn(role=role, text=text))
    return tuple(turns), bool(markers)


def _role(given: Any, number: int) -> Role:
    if given == "system":
        raise BadSample(
            f"turn {number} is of 'system': the chat template brings its own; remove it"
        )
    if not isinstance(given, str) or given not in ROLES:
        raise BadSample(f"turn {number} is of {_short(given)}: known are {', '.join(ROLES)}")
    return ROLES[given]


def _content(given: Any, number: int) -> str:
    """The text of a turn, its picture as the marker."""
    if isinstance(given, str):
        return given
    if not isinstance(given, (list, tuple)):
        raise BadSample(f"the text of turn {number} is {_short(given)}")
    return "".join(_part(part, number) for part in given)


def _part(part: Any, number: int) -> str:
    match part:
        case {"type": "image"}:
            return f"{MARKER}\n"
        case {"type": "text", "text": str(text)}:
            return text
    raise BadSample(f"turn {number} has a part that is neither a text nor an image: {_short(part)}")


def _remove_marker(text: str) -> str:
    """The text without its marker and the line break that parts them."""
    before, _, after = text.partition(MARKER)
    if not before.strip():
        return after.removeprefix("\n")
    if not after.strip():
        return before.removesuffix("\n")
    return before + after


def _image(record: Mapping[str, Any], images: Path) -> Path | bytes | Image.Image | None:
    given = next((record[key] for key in IMAGE_KEYS if record.get(key) is not None), None)
    if isinstance(given, (list, tuple)):
        if len(given) > 1:
            raise BadSample(SEVERAL.format(len(given)))
        given = given[0] if given else None
    if isinstance(given, Mapping):  # of HF datasets, not decoded
        content, path = given.get("bytes"), given.get("path")
        given = content if content is not None else path
    if given is None or given == "":
        return None
    if isinstance(given, str):
        if "\0" in given:
            raise BadSample(f"its image is {_short(given)}, which is no path")
        return images / given
    if isinstance(given, (bytes, Path, Image.Image)):
        return given
    raise BadSample(f"its image is {_short(given)}: give a path")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def write_llava(samples: Iterable[Sample], path: Path) -> None:
    """Write the samples as a JSON array; the file is there whole or not at all.

    Raises UserError if it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        records = [_llava(sample, number, path) for number, sample in enumerate(samples)]
        write_text(path, json.dumps(records, ensure_ascii=False, indent=1))
    except OSError as error:
        raise output_error(path, f"{error.strerror}, make room or give another place") from error


def _llava(sample: Sample, number: int, path: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"id": sample.id}
    marker = ""
    if sample.image is not None:
        record["image"] = _relative(sample.image, number, path)
        marker = f"{MARKER}\n"
    record["conversations"] = [
        {"from": LLAVA_ROLES[turn.role], "value": (marker if place == 0 else "") + turn.text}
        for place, turn in enumerate(sample.turns)
    ]
    more = {
        "experts": sample.experts,
        "domain": sample.domain or None,
        "routing": sample.routing or None,
        "dependency": sample.dependency,
        "evidence": sample.evidence or None,
    }
    return record | {key: value for key, value in more.items() if value is not None}


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

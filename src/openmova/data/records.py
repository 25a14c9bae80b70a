"""A record of a data file to a `Sample`: LLaVA's `conversations` or HF's `messages`.

Both may have `id`, `experts` (a list of names), `domain` and `routing`. The picture is in `image`
(LLaVA; one) or `images` (HF; a list of one), as a path, as bytes, or as the `{"bytes", "path"}` of
HF datasets. Its marker, `<image>` in the text or `{"type": "image"}` among the parts, is taken out:
a picture always comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Role, Sample, Turn

MARKER = "<image>"
IMAGE_KEYS = ("image", "images", "file_name")
"""The last is what HF's image folders call it in their metadata.jsonl."""
ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
SEVERAL = "several images ({}): one a sample is supported, give each its own sample"


def sample_of(record: Mapping[str, Any], *, id: str, source: str, images: Path) -> Sample:
    """The sample that a record means.

    id: of a record that has none. images: the folder that relative paths start from.
    Raises BadSample with the reason if it means none.
    """
    own = record.get("id")
    if own is not None and not isinstance(own, (str, int)):
        raise BadSample(f"its id is {_short(own)}: give a text or a number")
    id = id if own is None else str(own)
    try:
        image = _image(record, images)
        turns, marked = _turns(record)
        if marked and image is None:
            raise BadSample(f"its text has {MARKER}, but there is no image")
        return Sample(
            id=id,
            image=image,
            turns=turns,
            experts=_experts(record.get("experts")),
            domain=_text(record.get("domain") or "", "domain"),
            source=source,
            routing=_flag(record.get("routing")),
        )
    except BadSample as bad:
        raise bad.of(id=id, source=source) from None


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
            text = _unmarked(text)
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
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "image":
        return f"{MARKER}\n"
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadSample(f"turn {number} has a part that is neither a text nor an image: {_short(part)}")


def _unmarked(text: str) -> str:
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


def _experts(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise BadSample(f"its experts are {_short(given)}: give a list of names")
    return tuple(given)


def _flag(given: Any) -> bool:
    if given is None or isinstance(given, bool):
        return bool(given)
    raise BadSample(f"its routing is {_short(given)}: give true or false")


def _text(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise BadSample(f"its {what} is {_short(given)}: give a text")
    return given


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."

"""Records to samples and back: both formats say the same; faults are told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.files import llava, messages, picture
from openmova.data.bad_samples import BadSample
from openmova.data.formats import read_samples
from openmova.data.records import parse_record, write_llava
from openmova.data.sample import Sample, Turn
from openmova.errors import UserError

IMAGES = Path("pictures")
QUESTION, ANSWER = ("user", "a"), ("assistant", "b")


def read(record: dict[str, Any]) -> Sample:
    return parse_record(record, id="7", source="file", images=IMAGES)


def said(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_both_formats_give_the_same_sample() -> None:
    expected = Sample(
        id="s",
        image=IMAGES / "red.png",
        turns=(Turn(role="user", text="What is this?"), Turn(role="assistant", text="A square.")),
        experts=("dinov2",),
        domain="shapes",
        source="file",
    )
    assert read(llava(experts=["dinov2"], domain="shapes")) == expected
    assert read(messages(id="s", experts=["dinov2"], domain="shapes")) == expected


def test_a_record_without_an_id_has_its_place_as_one() -> None:
    assert read(messages()).id == "7"
    assert read(messages(id=12)).id == "12"


def test_no_experts_is_not_the_same_as_none_that_helps() -> None:
    assert read(llava()).experts is None
    assert read(llava(experts=None)).experts is None
    assert read(llava(experts=[])).experts == ()


@pytest.mark.parametrize(
    "text", ["<image>\nWhat?", "What?\n<image>", "<image>What?", "What?<image>", "What?"]
)
def test_the_marker_of_the_picture_is_no_part_of_the_text(text: str) -> None:
    sample = read(llava(text))
    assert sample.question == "What?"
    assert sample.image is not None


@pytest.mark.parametrize(
    "image",
    [
        {"image": picture()},
        {"images": [picture()]},
        {"images": [{"bytes": picture(), "path": None}]},
        {"image": {"bytes": picture(), "path": "red.png"}},
    ],
)
def test_pictures_may_come_as_bytes(image: dict[str, Any]) -> None:
    opened = read({**said(QUESTION, ANSWER), **image}).open()
    assert opened.image.size == (6, 6)


def test_a_path_in_an_hf_record_starts_from_the_folder_of_pictures() -> None:
    record = messages(images=[{"bytes": None, "path": "a.png"}])
    assert read(record).image == IMAGES / "a.png"
    assert read({**said(QUESTION, ANSWER), "file_name": "b.png"}).image == IMAGES / "b.png"


BAD = {
    "several images": llava(image=["a.png", "b.png"]),
    "several images (3)": messages(images=["a", "b", "c"]),
    "several images (2 <image>": said(("user", "<image><image>"), ANSWER),
    "neither conversations nor messages, but text": {"text": "hello"},
    "turns are no list": {"messages": "hello"},
    "turn 1 has no 'role'": {"messages": ["hello"]},
    "turn 1 has no 'from'": {"conversations": [{"role": "user", "content": "a"}]},
    "known are human, user, gpt": said(("narrator", "a"), ANSWER),
    "turn 1 is of 'system'": said(("system", "be kind"), QUESTION, ANSWER),
    "turn 1 is of 'assistant', not of 'user'": said(ANSWER),
    "turn 2 is of 'user', not": said(QUESTION, QUESTION, ANSWER),
    "no answer to learn": said(QUESTION),
    "no turns": said(),
    "answer in turn 2 is empty": said(QUESTION, ("assistant", " ")),
    "text of turn 1 is 3": said(("user", 3), ANSWER),
    "neither a text nor an image": said(("user", [{"type": "video"}]), ANSWER),
    "there is no image": said(("user", "<image>\na"), ANSWER),
    "<image> is in turn 3": messages(**said(QUESTION, ANSWER, ("user", "<image>"), ANSWER)),
    "no UTF-8": said(("user", "\ud800"), ANSWER),
    "its image is 3": llava(image=3),
    "which is no path": llava(image="a\0b"),
    "its 'experts' is 'dinov2'": llava(experts="dinov2"),
    "named twice": llava(experts=["sam", "sam"]),
    "its 'id' is": llava(id=[1]),
    "its 'domain' is 5": llava(domain=5),
    "its 'dependency' is 1.5": llava(dependency=1.5),
    "its 'dependency' is nan": llava(dependency=float("nan")),
    "its 'dependency' is 'much'": llava(dependency="much"),
    "its 'dependency' is True": llava(dependency=True),
    "its 'evidence' is 'bar'": llava(evidence="bar"),
    "its 'routing' is 'yes'": llava(routing="yes"),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_is_wrong_is_told(reason: str) -> None:
    with pytest.raises(BadSample) as caught:
        read(BAD[reason])
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["user", "assistant", "human", "gpt", "<image>", "image", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "bytes", "path"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = ("id", "image", "images", "conversations", "messages", "experts", "domain", "routing")


@settings(max_examples=100, deadline=None)
@given(record=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), valid=st.booleans())
def test_any_record_is_a_sample_or_a_bad_one(record: dict[str, Any], valid: bool) -> None:
    try:
        sample = read({**llava(), **record} if valid else record)
    except BadSample as bad:
        assert bad.reason and "\n" not in bad.reason
    else:
        assert sample.turns[0].role == "user"
        assert sample.turns[-1].role == "assistant"


TURNS = (
    Turn(role="user", text="What is it?"),
    Turn(role="assistant", text="Ein Käfer"),
    Turn(role="user", text="Sure?"),
    Turn(role="assistant", text="yes"),
)


def test_reading_gives_the_samples_that_were_written(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.png"
    photo.write_bytes(picture())
    given = [
        Sample(id="a", image=photo, turns=TURNS, experts=("ocr", "chart"), domain="text"),
        Sample(id="b", turns=TURNS),
        Sample(id="c", image=photo, turns=TURNS[:2], experts=(), routing=True),
    ]
    path = tmp_path / "out" / "data.json"
    write_llava(given, path)
    for index, before in enumerate(given):
        after = read_samples(path)[index].open()
        assert (after.id, after.turns, after.experts) == (before.id, before.turns, before.experts)
        assert (after.domain, after.routing) == (before.domain, before.routing)
        assert (after.image is None) == (before.image is None)
    first = json.loads(path.read_text())[0]
    assert first["image"] == "../photos/a.png"
    assert first["conversations"][0] == {"from": "human", "value": "<image>\nWhat is it?"}
    assert first["conversations"][2] == {"from": "human", "value": "Sure?"}


ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".img"}


@pytest.mark.parametrize(
    ("image", "ending"),
    [
        *((picture(format=format), ending) for format, ending in ENDINGS.items()),
        (Image.new("RGB", (6, 6)), ".png"),
    ],
)
def test_pictures_become_files(tmp_path: Path, image: bytes | Image.Image, ending: str) -> None:
    write_llava([Sample(id="a", image=image, turns=TURNS)], tmp_path / "data.json")
    file = tmp_path / "data-images" / f"000000{ending}"
    assert not isinstance(image, bytes) or file.read_bytes() == image
    assert read_samples(tmp_path / "data.json")[0].open().image.size == (6, 6)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_llava([Sample(id="b", turns=TURNS)], tmp_path / "file" / "data.json")

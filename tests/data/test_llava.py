"""What is written as LLaVA JSON is read back as the same samples."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from openmova.data.formats import read_samples
from openmova.data.llava import write_llava
from openmova.data.sample import Sample, Turn
from openmova.errors import UserError

TURNS = (
    Turn(role="user", text="What is it?"),
    Turn(role="assistant", text="Ein Käfer"),
    Turn(role="user", text="Sure?"),
    Turn(role="assistant", text="yes"),
)


def picture(format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (5, 3), "red").save(content, format)
    return content.getvalue()


def test_reading_gives_the_samples_that_were_written(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.png"
    photo.write_bytes(picture("PNG"))
    given = [
        Sample(id="a", image=photo, turns=TURNS, experts=("ocr", "chart"), domain="text"),
        Sample(id="b", turns=TURNS),
        Sample(id="c", image=photo, turns=TURNS[:2], experts=(), routing=True),
    ]
    path = tmp_path / "out" / "data.json"
    write_llava(given, path)
    read = read_samples(path)
    for before, index in zip(given, range(len(read)), strict=True):
        after = read[index].opened()
        assert (after.id, after.turns, after.experts) == (before.id, before.turns, before.experts)
        assert (after.domain, after.routing) == (before.domain, before.routing)
        assert (after.image is None) == (before.image is None)
    first = json.loads(path.read_text())[0]
    assert first["image"] == "../photos/a.png"
    assert first["conversations"][0] == {"from": "human", "value": "<image>\nWhat is it?"}
    assert first["conversations"][2] == {"from": "human", "value": "Sure?"}


@pytest.mark.parametrize(
    ("image", "ending"),
    [
        (picture("PNG"), ".png"),
        (picture("JPEG"), ".jpg"),
        (picture("WEBP"), ".webp"),
        (picture("GIF"), ".gif"),
        (picture("BMP"), ".img"),
        (Image.new("RGB", (5, 3)), ".png"),
    ],
)
def test_pictures_without_a_file_get_one_beside_it(
    tmp_path: Path, image: bytes | Image.Image, ending: str
) -> None:
    write_llava([Sample(id="a", image=image, turns=TURNS)], tmp_path / "data.json")
    file = tmp_path / "data-images" / f"000000{ending}"
    assert not isinstance(image, bytes) or file.read_bytes() == image
    opened = read_samples(tmp_path / "data.json")[0].opened().image
    assert isinstance(opened, Image.Image)
    assert opened.size == (5, 3)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write"):
        write_llava([Sample(id="b", turns=TURNS)], tmp_path / "file" / "data.json")

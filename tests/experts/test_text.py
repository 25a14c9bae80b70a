"""What is written in a picture is in the text expert's map, in reading order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.text import TextExpert, without_mask
from openmova.experts.text_lines import Box

from .pictures import assert_batch_changes_nothing
from .words import embedding, read_back, tokenizer_file, word_expert

pytest.importorskip("onnxruntime", reason="the kind text needs the extra: openmova[onnx]")

RECEIPT = ["Corner Shop", "Milk | 1.20", "Bread | 2.35", "Total | 3.55"]


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> TextExpert:
    expert: TextExpert = word_expert("text", tmp_path_factory.mktemp("tokenizer"))
    return expert


def test_without_the_extra_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("text", "onnx_graph"):
        monkeypatch.delitem(sys.modules, f"openmova.experts.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r'pip install "openmova\[onnx\]"'):
        word_expert("text", tmp_path)


def receipt() -> Image.Image:
    page = Image.new("RGB", (420, 260), "white")
    draw = ImageDraw.Draw(page)
    for row, line in enumerate(RECEIPT):
        for column, cell in enumerate(line.split(" | ")):
            draw.text((30 + 220 * column, 20 + 50 * row), cell, fill="black", font_size=28)
    return page


def as_batch(*pictures: Image.Image) -> tuple[Tensor, Tensor]:
    arrays = [torch.from_numpy(np.array(p)).movedim(-1, 0) for p in pictures]
    sizes = torch.tensor([a.shape[1:] for a in arrays])
    images = torch.zeros(len(arrays), 3, *sizes.amax(0).tolist(), dtype=torch.uint8)
    for image, array in zip(images, arrays, strict=True):
        image[:, : array.shape[1], : array.shape[2]] = array
    return images, sizes


def test_the_map_holds_the_lines_with_the_cells_of_a_table_in_rows(expert: TextExpert) -> None:
    (map_,) = expert(expert.view(*as_batch(receipt())))
    assert map_.shape == (expert.channels, 24, 24)
    assert read_back(expert.codes, map_) == "\n".join([*RECEIPT, ""])


def test_lines_have_boxes_in_the_picture_and_scores(expert: TextExpert) -> None:
    large = receipt().resize((420 * 4, 260 * 4))  # reduced by the view
    for page in (receipt(), large):
        (view,) = expert.view(*as_batch(page))
        scale = without_mask(view).shape[2] / receipt().width
        title, *rows = expert.lines(view)
        (line,) = title
        assert line.text == RECEIPT[0]
        assert 0.9 < line.score <= 1
        left, top, right, bottom = (side / scale for side in line.box.bounds)
        assert 15 < left < 35 < 170 < right < 220
        assert 10 < top < 30 < 40 < bottom < 65
        assert [len(row) for row in rows] == [2, 2, 2]


def test_cells_that_the_detector_takes_for_one_line(expert: TextExpert) -> None:
    row = Image.new("RGB", (420, 60), "white")
    for x, cell in ((20, "Oslo"), (120, "22.4"), (230, "plain words")):
        ImageDraw.Draw(row).text((x, 10), cell, fill="black", font_size=28)
    (view,) = expert.view(*as_batch(row))
    picture = without_mask(view).float()
    scale = picture.shape[2] / row.width
    box = Box(190 * scale, 27 * scale, 380 * scale, 36 * scale, 0.0)
    cells = expert.recognise(picture, [box])
    assert [cell.text for cell in cells] == ["Oslo", "22.4", "plain words"]
    for cell, start in zip(cells[1:], (120, 230), strict=True):
        assert cell.box.bounds[0] / scale == pytest.approx(start, abs=6)
    assert expert.text([cells]) == "Oslo | 22.4 | plain words"


@pytest.mark.parametrize("degrees", [12, 90])
def test_tilted_and_upward_lines_are_read(expert: TextExpert, degrees: int) -> None:
    sign = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(sign).text((60, 130), "Exit 42", fill="black", font_size=44)
    view = expert.view(*as_batch(sign.rotate(degrees, fillcolor="white")))
    assert expert.texts(view) == ["Exit 42"]


def test_a_character_alone_is_upright(expert: TextExpert) -> None:
    page = Image.new("RGB", (100, 90), "white")
    ImageDraw.Draw(page).text((30, 20), "7", fill="black", font_size=36)
    (view,) = expert.view(*as_batch(page))
    ((line,),) = expert.lines(view)
    assert line.text == "7"
    assert line.box.angle == 0


def test_a_picture_reads_the_same_alone_and_in_a_batch(expert: TextExpert) -> None:
    assert_batch_changes_nothing(expert)
    narrow = receipt().crop((0, 0, 230, 120))
    views = expert.view(*as_batch(narrow, receipt()))
    assert torch.equal(expert(views)[0], expert(expert.view(*as_batch(narrow)))[0])


def test_a_picture_without_text_has_an_empty_map(expert: TextExpert) -> None:
    map_ = expert(expert.view(*as_batch(Image.new("RGB", (50, 80), "gray"))))
    assert map_.count_nonzero() == 0


def test_saved_files_build_the_same_expert(expert: TextExpert, tmp_path: Path) -> None:
    tokenizer_file(tmp_path / "first")
    spec = {
        "kind": "text",
        "name": "text",
        "descriptions": ["reads"],
        "tokenizer": "tokenizer.json",
    }
    first = build_expert(spec, folder=tmp_path / "first")
    first.codes.fit(embedding())
    first.save_files(tmp_path / "second")
    names = sorted(p.name for p in (tmp_path / "second").rglob("*.*"))
    assert names == ["tokenizer.codes.safetensors", "tokenizer.json"]
    second = build_expert(spec, folder=tmp_path / "second")
    view = first.view(*as_batch(receipt()))
    assert torch.equal(second(view), expert(view))

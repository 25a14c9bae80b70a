"""A data set is asked once, sample by sample; what can't be asked is left out and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.files import llava
from openmova.analysis.data_inspection import inspect_data
from openmova.analysis.report import data_page
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.formats import read_samples
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.inference.mova import Mova
from pages import Page

LONG = "ä" * 3000  # of two bytes, so of two tokens


@pytest.fixture(scope="module")
def mova() -> Mova:
    model, processor = tiny_mova()
    model.config.routing.__dict__["constrained"] = True
    return Mova(model, processor)


def record(number: int, **changes: Any) -> dict[str, Any]:
    own = {"id": f"s{number}", "image": f"{number % 3}.png", "experts": ["chart"]}
    domain = "<even>" if number % 2 == 0 else "odd"
    asked = {"question": f"<image>\nWhich {number}?", "answer": str(number)}
    return llava(**{**asked, **own, "domain": domain, **changes})


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    for number in range(3):
        Image.effect_noise((40, 30), 60).save(tmp_path / f"{number}.png")
    (tmp_path / "torn.png").write_bytes(b"no picture")
    records = [
        *(record(number) for number in range(5)),
        record(5, image="torn.png"),
        record(6, experts=["charts"]),
        record(7, image=None, question="Which?"),
        record(8, routing=True),
        record(9, question="<image>\n"),
        record(10, question=f"<image>\n{LONG}"),
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records))
    return read_samples(path)


def test_what_can_be_asked_is_asked_and_the_rest_is_counted(mova: Mova, samples: Samples) -> None:
    found = inspect_data(mova, samples, max_new_tokens=3, batch=4)
    assert (found["samples"], found["asked"]) == (11, 5)
    reasons = list(found["left_out"]["reasons"])
    assert len(reasons) == found["left_out"]["n"] == 6
    for part in (
        "is not a picture in a known format",
        "unknown expert 'charts': did you mean chart?",
        "without a picture",
        "a routing instruction",
        "the question is empty",
        "the prompt takes",
    ):
        assert any(part in reason for reason in reasons), reasons
    assert {name: group["n"] for name, group in found["domains"].items()} == {"<even>": 3, "odd": 2}
    assert found["routing"]["n"] == 5

    page = Page(data_page(found, data="data.json", model="tiny"))
    assert page.links == []
    assert page.tags["even"] == 0
    assert page.tags["caption"] == page.tags["table"] > 6
    assert "5 of 11 samples were asked" in page.text


def test_the_batch_changes_nothing_and_some_are_evenly_spaced(mova: Mova, samples: Samples) -> None:
    together, alone = (inspect_data(mova, samples, max_new_tokens=3, batch=b) for b in (11, 1))
    assert together == alone
    found = inspect_data(mova, samples, most=4, max_new_tokens=3)  # 0, 2, 5, 8
    assert (found["asked"], found["left_out"]["n"]) == (2, 2)


def test_data_without_a_sample_to_ask_is_told_with_the_reason(mova: Mova, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([record(0), record(1)]))
    with pytest.raises(UserError, match="has no sample that can be asked, such as: there is no f"):
        inspect_data(mova, read_samples(path), max_new_tokens=3)


def test_the_page_of_data_without_annotations_and_domains(mova: Mova, samples: Samples) -> None:
    plain = [llava(f"<image>\nWhich {n}?", str(n), image=f"{n}.png") for n in range(2)]
    path = samples.images / "plain.json"
    path.write_text(json.dumps(plain))
    found = inspect_data(mova, read_samples(path), max_new_tokens=3)
    text = Page(data_page(found, data="plain.json", model="tiny")).text
    assert "are not annotated with experts" in text

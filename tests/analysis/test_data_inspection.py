"""A data set is asked once, sample by sample; what can't be asked is left out and counted. What the
answers say together, against hand-made rows; the calibration error by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.files import llava
from openmova.analysis.data_inspection import LEFT_OUT, calibration, inspect_data, summary
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


POOL = ("text", "chart")


def row(
    domain: str,
    annotated: list[str] | None,
    chosen: list[str],
    gates: list[list[float]],
    **right: bool,
) -> dict[str, Any]:
    """right: of each set of experts ("text_chart", "text", "chart", "none"), whether its answer
    is the expected one."""
    keys = {"text_chart": "text,chart", "none": ""}
    return {
        "id": "1",
        "domain": domain,
        "annotated": annotated,
        "expected": "Yes.",
        "chosen": chosen,
        "scores": {name: 0.9 if name in chosen else 0.1 for name in POOL},
        "gates": [dict(zip(chosen, block, strict=True)) for block in gates],
        "answers": {keys.get(k, k): "yes" if is_right else "no" for k, is_right in right.items()},
    }


ROWS = [
    row("bars", ["text", "chart"], ["text", "chart"], [[0.5, 0.5], [0.0, 1.0]],
        text_chart=True, none=False, text=False, chart=True),
    row("bars", ["chart"], ["chart"], [[1.0], [1.0]], chart=True, none=False, text_chart=True),
    row("bars", ["chart"], ["text"], [[1.0], [1.0]], text=False, none=False, text_chart=True),
    row("", None, [], [[], []], none=True, text_chart=True),
    {LEFT_OUT: "without a picture"},
]  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return summary(ROWS, POOL)


def value(share: dict[str, Any]) -> tuple[float, int]:
    return share["value"], share["n"]


def test_who_is_counted_accuracy_and_use_by_domain(found: dict[str, Any]) -> None:
    assert found["asked"] == 4
    assert found["left_out"] == {"n": 1, "reasons": {"without a picture": 1}}
    assert {name: group["n"] for name, group in found["domains"].items()} == {
        "none given": 1,
        "bars": 3,
    }
    bars = found["domains"]["bars"]
    assert {mode: value(share) for mode, share in bars["accuracy"].items()} == {
        "routed": (0.6667, 3),
        "none": (0.0, 3),
        "all": (1.0, 3),
    }
    assert {name: value(share) for name, share in bars["chosen"].items()} == {
        "text": (0.6667, 3),
        "chart": (0.6667, 3),
    }
    assert bars["chosen_each"] == {"1": 2, "2": 1}
    assert found["overall"]["chosen_each"] == {"0": 1, "1": 2, "2": 1}
    # The gates are means over those who chose.
    assert bars["gates"] == {"text": [0.75, 0.5], "chart": [0.75, 1.0]}
    assert found["domains"]["none given"]["gates"] == {}


def test_what_is_lost_without_each(found: dict[str, Any]) -> None:
    lost = found["overall"]["contribution"]
    # Without chart the first two of its two samples become wrong; without text nothing does.
    assert value(lost["chart"]["drop_where_chosen"]) == (1.0, 2)
    assert value(lost["chart"]["drop"]) == (0.5, 4)
    assert value(lost["text"]["drop_where_chosen"]) == (0.0, 2)
    assert value(lost["chart"]["changed"]) == (1.0, 2)
    assert found["domains"]["none given"]["contribution"]["text"]["chosen"] == 0


def test_annotation_against_choice(found: dict[str, Any]) -> None:
    routing = found["routing"]
    assert value(routing["exact"]) == (0.6667, 3)
    assert routing["confusion"] == {
        "text": {"n": 1, "chosen": {"text": 1.0, "chart": 1.0, "none": 0.0}},
        "chart": {"n": 3, "chosen": {"text": 0.6667, "chart": 0.6667, "none": 0.0}},
    }
    assert value(routing["experts"]["text"]["precision"]) == (0.5, 2)
    assert value(routing["experts"]["text"]["recall"]) == (1.0, 1)
    assert value(routing["experts"]["chart"]["recall"]) == (0.6667, 3)
    assert routing["mistakes"] == [{"annotated": ["chart"], "chosen": ["text"], "n": 1}]
    assert found["domains"]["none given"]["routed_as_annotated"] is None


def test_calibration_is_over_annotated_samples(found: dict[str, Any]) -> None:
    # Six scores: four of 0.9, of which three are right; two of 0.1, of which one is annotated.
    calibration = found["calibration"]
    assert calibration["n"] == 6
    assert calibration["error"] == pytest.approx((4 * 0.15 + 2 * 0.4) / 6, abs=1e-4)
    assert set(calibration["experts"]) == set(POOL)


def test_without_annotations_there_is_nothing_to_compare() -> None:
    found = summary([ROWS[3]], POOL)
    assert found["routing"] is None
    assert found["calibration"] is None


def test_samples_that_need_none_are_a_row_of_the_confusion() -> None:
    rows = [{**ROWS[3], "annotated": []}, {**ROWS[1], "annotated": []}]
    confusion = summary(rows, POOL)["routing"]["confusion"]
    assert confusion == {"none": {"n": 2, "chosen": {"text": 0.0, "chart": 0.5, "none": 0.5}}}


def test_two_bins_by_hand() -> None:
    # 0.92, 0.98 and 1.0: mean 0.9667, two of three right. 0.1 and 0.1: mean 0.1, none right.
    found = calibration([0.92, 0.98, 1.0, 0.1, 0.1], [True, True, False, False, False])
    edges = [(b["from"], b["to"], b["annotated"]["n"]) for b in found["bins"]]
    assert edges == [(0.1, 0.2, 2), (0.9, 1.0, 3)]
    assert [b["score"] for b in found["bins"]] == [0.1, 0.9667]
    assert found["error"] == pytest.approx((2 * 0.1 + 3 * (0.966667 - 2 / 3)) / 5, abs=1e-4)


def test_scores_on_edges_and_scores_that_mean_what_they_say() -> None:
    bins = calibration([0.5, 0.0, 1.0], [True] * 3)["bins"]  # the bin above; the last
    assert [(b["from"], b["annotated"]["n"]) for b in bins] == [(0.0, 1), (0.5, 1), (0.9, 1)]
    right = [True, False, False, False, True, True]
    assert calibration([0.25] * 4 + [1.0] * 2, right)["error"] == 0
    assert calibration([], []) == {"n": 0, "error": 0.0, "bins": []}

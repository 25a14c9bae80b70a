"""Confidences that are fitted on judged answers mean what they say on others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from openmova.errors import UserError
from openmova.model.confidence import FEATURES, ConfidenceConfig
from openmova.routing import Routing
from studies.nano.calibration import fit, main, read_answers, report
from studies.nano.data.tasks import UNKNOWN
from studies.nano.reliability import BINS, reliability


def write(file: Path, count: int) -> None:
    """Answers whose tokens say too much: those of likelihood e^-x are right less often."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = [{"answer": "kept from another mode", "right": True}]
    for number in range(count):
        least = -float(rng.exponential())
        features = {"mean": least / 2, "least": least, "whole": 2 * least, "routing": rng.random()}
        right = bool(rng.random() < 1 / (1 + np.exp(-(1 + 2 * least))))
        row = {"features": features, "right": right, "answer": "a", "picture": str(number % 97)}
        rows.append({**row, "answer": UNKNOWN, "right": False} if number % 20 == 0 else row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_known_logistic_is_found_again() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 2)) * [1, 5]
    right = rng.random(20_000) < 1 / (1 + np.exp(-(features @ [1.0, -0.2] + 0.5)))
    weights, bias = fit(features, right)
    assert weights == pytest.approx([1.0, -0.2], abs=0.05)
    assert bias == pytest.approx(0.5, abs=0.05)


def test_the_fit_is_a_checkpoints_and_its_error_small(tmp_path: Path) -> None:
    write(tmp_path / "answers.jsonl", 3000)
    answers = read_answers([tmp_path / "answers.jsonl"])
    assert answers.features.shape == (3000, len(FEATURES))
    found = report(answers)
    assert found["reliability"]["n"] == 3000
    assert found["reliability"]["error"] < 0.03
    assert 0 < found["error_by_chance"] < 0.03
    assert found["right_where_sure"] > found["right"] + 0.1
    config = ConfidenceConfig(**found["confidence"])
    nobody = Routing(experts=(), scores={}, raw="")
    assert config.confidence("a", [-0.01], nobody) > 0.5 > config.confidence("a", [-3.0], nobody)
    assert config.confidence(UNKNOWN, [-0.01], nobody) == 0


def test_the_command_writes_what_a_checkpoint_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, carried_file = tmp_path / "answers.jsonl", tmp_path / "carried.json"
    write(answers, 400)
    monkeypatch.setattr("sys.argv", ["calibration", str(answers), "--output", str(carried_file)])
    main()
    carried = json.loads(carried_file.read_text(encoding="utf-8"))
    assert carried == json.loads(capsys.readouterr().out)["confidence"]
    assert ConfidenceConfig(**carried).declining == [UNKNOWN]


def test_a_file_without_features_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"answer": "a", "right": true}\n')
    with pytest.raises(UserError, match="no answer with features"):
        read_answers([tmp_path / "answers.jsonl"])


def test_the_error_is_the_mean_distance_of_confidence_and_share() -> None:
    # Ten bins of two: nine of 0.9 with one right each, the least of 0.1 with none.
    found = reliability([0.9] * 18 + [0.1] * 2, [True, False] * 9 + [False] * 2)
    assert [b["confidence"] for b in found["bins"]] == [0.1] + [0.9] * 9
    assert {b["right"]["n"] for b in found["bins"]} == {2}
    assert found["error"] == pytest.approx((9 * 0.4 + 0.1) / 10)


def test_few_answers_make_few_bins_and_none_say_nothing() -> None:
    right = ([True] * 3 + [False]) * BINS  # a confidence that means what it says has no error
    assert reliability([0.75] * 4 * BINS, right)["error"] == 0
    assert len(reliability([0.2, 0.4, 0.9], [True] * 3)["bins"]) == 3
    assert reliability([], []) == {"n": 0, "error": 0.0, "bins": []}

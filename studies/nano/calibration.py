"""Fits an answer's confidence on judged held-out answers, and tells whether it means what it says.

    openmova eval --suite nano --seed 1 --n 100 --output runs/eval
    python -m studies.nano.calibration runs/eval/samples.jsonl --diagram docs/reliability.png \\
        --output models/nano/confidence.json

A line of the file is an answer: `features` (openmova.model.confidence), `right`, `answer`,
`picture`; others are left out. Prints the "confidence" of the checkpoint, for its config.json,
and the expected calibration error by cross-validation: no picture is in two folds, and a fold's
confidences come from a fit on the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmova.errors import UserError
from openmova.model.confidence import FEATURES
from openmova.runtime.files import write_text
from studies import new_parser
from studies.nano.data.tasks import UNKNOWN
from studies.nano.reliability import draw_reliability, reliability

FOLDS = 10
RIDGE = 1.0
"""Of the squared weights of features in units of their spread: one more answer hardly moves it."""
STEPS = 30
DRAWS = 200
"""Of answers that are right as often as their confidence says."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What was said to N questions."""

    features: Matrix
    """[N, len(FEATURES)]"""
    right: NDArray[np.bool_]
    declined: NDArray[np.bool_]
    """Whether it says that there is no answer: its confidence is 0, and no fit counts it."""
    pictures: Sequence[str]


def read_answers(files: Sequence[Path]) -> Answers:
    """Raises UserError if the files have none."""
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in map(json.loads, lines) if row.get("features")]
    if not rows:
        raise UserError("there is no answer with features: give samples.jsonl of openmova eval")
    return Answers(
        features=np.array([[row["features"][name] for name in FEATURES] for row in rows]),
        right=np.array([row["right"] for row in rows]),
        declined=np.array([row["answer"] == UNKNOWN for row in rows]),
        pictures=[row["picture"] for row in rows],
    )


def fit(features: Matrix, right: NDArray[np.bool_]) -> tuple[Matrix, float]:
    """Weights [F] and bias of a logistic regression, by Newton's method.

    features [N, F], right [N].
    """
    centre, spread = features.mean(0), features.std(0) + 1e-9
    design = np.column_stack([(features - centre) / spread, np.ones(len(features))])
    ridge = RIDGE * np.diag([1.0] * features.shape[1] + [1e-6])
    found = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (right - chance) - ridge @ found
        curvature = design.T @ (design * (chance * (1 - chance))[:, None]) + ridge
        found += np.linalg.solve(curvature, slope)
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ centre)


def confidences(answers: Answers, weights: Matrix, bias: float) -> Matrix:
    """[N], as `ConfidenceConfig` gives them."""
    chance = 1 / (1 + np.exp(-(answers.features @ weights + bias)))
    return np.where(answers.declined, 0.0, chance)


def cross_validate(answers: Answers) -> Matrix:
    """The confidence of each answer, from a fit on other pictures [N]."""
    names = sorted(set(answers.pictures))
    shuffled = np.random.default_rng(0).permutation(len(names))
    fold_of = {names[place]: number % FOLDS for number, place in enumerate(shuffled)}
    folds = np.array([fold_of[picture] for picture in answers.pictures])
    found = np.zeros(len(folds))
    for fold in range(FOLDS):
        kept = (folds != fold) & ~answers.declined
        fitted = fit(answers.features[kept], answers.right[kept])
        found[folds == fold] = confidences(answers, *fitted)[folds == fold]
    return found


def report(answers: Answers) -> dict[str, Any]:
    """The fit as a checkpoint's "confidence", and how reliable it is by cross-validation.

    error_by_chance: the calibration error that so many answers would show on average if every
    confidence were exactly right.
    """
    kept = ~answers.declined
    weights, bias = fit(answers.features[kept], answers.right[kept])
    named = {name: round(weight, 4) for name, weight in zip(FEATURES, weights, strict=True)}
    held_out = cross_validate(answers)
    sure = held_out >= 0.5
    drawn = np.random.default_rng(0).random((DRAWS, len(held_out))) < held_out
    by_chance = [reliability(held_out.tolist(), some.tolist())["error"] for some in drawn]
    return {
        "confidence": {"weights": named, "bias": round(bias, 4), "declining": [UNKNOWN]},
        "reliability": reliability(held_out.tolist(), answers.right.tolist()),
        "error_by_chance": round(float(np.mean(by_chance)), 4),
        "right": round(float(answers.right.mean()), 4),
        "right_where_sure": round(float(answers.right[sure].mean()), 4) if sure.any() else None,
        "unsure": round(float((~sure).mean()), 4),
    }


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("answers", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, help="a JSON file for the checkpoint's part")
    parser.add_argument("--diagram", type=Path, help="a PNG file for the reliability diagram")
    given = parser.parse_args()
    found = report(read_answers(given.answers))
    if given.output:
        write_text(given.output, json.dumps(found["confidence"]) + "\n")
    if given.diagram:
        draw_reliability(found["reliability"], given.diagram, "Confidence on held-out questions")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

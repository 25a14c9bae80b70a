"""Routers that learned by reward beside the one they began with: right answers over experts.

    python -m studies.nano.reward_curve test.jsonl nano runs/price-0.05/final runs/price-0.2/final \
        --output runs/curve

The first model is what the others began with. An answer under a routing is the same in all of
them, so it is asked for once. Goes on where it was stopped; writes curve.json and curve.png.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from openmova import Mova
from openmova.data.records import parse_record
from openmova.data.sample import Sample
from openmova.evaluate.intervals import Share
from openmova.inference.answer import matches
from openmova.runtime.files import new_file
from openmova.runtime.run_store import JsonLines
from studies import new_parser

TOKENS = 16
DRAWS = 4000

Row = dict[str, Any]
"""A model's."""


def ask(samples: Sequence[Sample], models: Sequence[str], journal: JsonLines) -> list[Row]:
    """Of each model the number of experts and whether the answer is right, for each sample.

    journal: keeps each routing and each answer as soon as it is known.
    """
    journal.rewind()  # a line that a kill has torn
    known: dict[str, str] = {}
    for entry in journal.entries():
        known |= entry

    def keep(key: str, text: str) -> None:
        known[key] = text
        journal.append({key: text})

    first = Mova.from_pretrained(models[0])
    found = []
    for model in models:
        mova = first if model == models[0] else Mova.from_pretrained(model)
        experts, right = [], []
        for sample in tqdm(samples, model):
            question, solution = sample.turns[-2].text, sample.turns[-1].text
            choice = f"{model} {sample.id}"
            if choice not in known:
                routing = mova.ask(sample.image, question, max_new_tokens=1).routing
                keep(choice, ",".join(routing.experts))
            chosen = known[choice].split(",") if known[choice] else []
            answer = f"{sample.id} {known[choice]}"
            if answer not in known:
                under = first.ask(
                    sample.image, question, experts=chosen or "none", max_new_tokens=TOKENS
                )
                keep(answer, under.text)
            experts.append(len(chosen))
            right.append(matches(known[answer], solution))
        found.append({"model": model, "experts": experts, "right": right})
    return found


def compare(found: Sequence[Row], pictures: Sequence[str]) -> list[Row]:
    """Of each model experts a question, right answers, and in points the difference to the first,
    with a 95% bootstrap over pictures."""
    _, place = np.unique(pictures, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        place.max() + 1, np.full(place.max() + 1, 1 / (place.max() + 1)), DRAWS
    )[:, place]
    start = np.array(found[0]["right"], dtype=float)
    rows = []
    for one in found:
        gain = np.array(one["right"], dtype=float) - start
        low, high = np.quantile((draws * gain).sum(1) / draws.sum(1), [0.025, 0.975])
        rows.append(
            {
                "model": one["model"],
                "experts": round(float(np.mean(one["experts"])), 3),
                "right": Share.of(one["right"]).to_dict(),
                "difference": [round(100 * float(x), 1) for x in (gain.mean(), low, high)],
                "won": int((gain > 0).sum()),
                "lost": int((gain < 0).sum()),
            }
        )
    return rows


def draw(rows: Sequence[Row], file: Path) -> None:
    """The rows as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, colour in zip(rows, ["black", *["tab:blue"] * len(rows)], strict=False):
        gain, low, high = row["difference"]
        axes.errorbar(
            row["experts"], gain, [[gain - low], [high - gain]], fmt="o", color=colour, capsize=3
        )
        run = row["model"].removesuffix("/final").rpartition("/")[2]
        axes.annotate(run, (row["experts"], gain), (0, 8), textcoords="offset points", ha="center")
    axes.axhline(0, color="0.7", linewidth=1)
    axes.margins(x=0.2)
    axes.set(xlabel="experts a question", ylabel="right answers, points over the first")
    with new_file(file) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("data", type=Path, help="records, one a line, with a short answer each")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    records = map(json.loads, options.data.read_text(encoding="utf-8").splitlines())
    samples = [
        parse_record(record, id=str(n), source=options.data.stem, images=options.data.parent)
        for n, record in enumerate(records)
    ]
    found = ask(samples, options.models, JsonLines(options.output / "answers.jsonl"))
    rows = compare(found, [sample.id.rpartition("-")[0] or sample.id for sample in samples])
    (options.output / "curve.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    draw(rows, options.output / "curve.png")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()

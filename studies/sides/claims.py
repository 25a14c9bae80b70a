"""Which of the paper's claims hold with nano's encoders: docs/results.csv and docs/claims.csv.

    python -m studies.sides.claims runs/sides --texts runs/nano-data/text/samples.jsonl

Trains the sides that route, and asks them under the choices of nano's own router, of chance, and of
a fixed number. Sides of one encoder and of all are those of `studies.sides.roles`. What is done is
kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from openmova import Mova
from openmova.experts.token_codes import TokenCodes
from openmova.images.opening import load_image
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, user_turn
from openmova.routing.selection import ExpertSelection
from openmova.runtime.files import new_file
from openmova.runtime.run_store import JsonLines, Row
from studies.sides.questions import Choice
from studies.sides.roles import ENCODERS
from studies.sides.side import EXPERTS, MoVAFusion, PlainFusion
from studies.sides.training import GATE_RATE, Choose, Study, answers, open_study, train_side

SEEDS = (0, 1, 2)
ROUTED = "MoVA"
VARIANTS: Mapping[str, tuple[Callable[[TokenCodes], nn.Module], float]] = {
    ROUTED: (lambda codes: MoVAFusion(ENCODERS, codes), GATE_RATE),
    "3 blocks": (lambda codes: MoVAFusion(ENCODERS, codes, blocks=3), GATE_RATE),
    "uniform gate": (lambda codes: MoVAFusion(ENCODERS, codes, uniform=True), GATE_RATE),
    "gate at the full rate": (lambda codes: MoVAFusion(ENCODERS, codes), 1.0),
    "linear layers": (lambda _: PlainFusion(ENCODERS), GATE_RATE),
}
"""Sides that are trained with the experts that a question needs; and the gate's rate."""
MORE = 0.3
"""How often a question of the training is given an expert more than it needs."""
SILENT = ("", "nothing")
DRAWS = 2000
HEADS = ("table", "row", "column", "value", "low", "high", "questions", "seeds")
Outcomes = np.ndarray[Any, np.dtype[np.bool_]]
"""bool [seeds, questions]."""


def ask_router(run: Path, test: Sequence[Choice]) -> dict[str, Row]:
    """What nano's router says to every question: `experts` and the `scores` of all."""
    journal = JsonLines(run / "routing.jsonl")
    journal.rewind()
    found = {row["id"]: row for row in journal.entries()}
    todo = [choice for choice in test if choice.id not in found]
    if not todo:
        return found
    mova = Mova.from_pretrained("nano", device="cpu")
    selection = ExpertSelection.of(None, None, mova.experts)
    for choice in tqdm(todo, desc="router", unit=" questions"):
        picture = _picture(run / "data" / choice.folder, choice.number)
        turn = user_turn(choice.question, [Picture.of(load_image(picture), mova.processor)])
        inputs = mova.prepare([[turn]], [selection], GenerationLimits(max_new_tokens=1))
        base = mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
        made = mova.model.route(inputs["routing_input_ids"], inputs["routing_attention_mask"], base)
        chosen = made.chosen[0].tolist()
        scores = dict(zip(mova.experts, made.scores[0].tolist(), strict=True))
        experts = [name for name, is_chosen in zip(mova.experts, chosen, strict=True) if is_chosen]
        found[choice.id] = {"id": choice.id, "experts": experts, "scores": scores}
        journal.append(found[choice.id])
    return found


def _picture(folder: Path, number: int) -> Path:
    with (folder / "pictures.jsonl").open(encoding="utf-8") as lines:
        for at, line in enumerate(lines):
            if at == number:
                return folder / json.loads(line)["image"]
    raise IndexError(number)


def choices_by(router: Mapping[str, Row]) -> dict[str, Choose]:
    """The ways in which experts are chosen for a question."""

    def best(count: int) -> Choose:
        def choose(choice: Choice) -> list[str]:
            scores = router[choice.id]["scores"]
            return sorted(scores, key=lambda name: -scores[name])[:count]

        return choose

    def at_random(choice: Choice) -> list[str]:
        count = len(router[choice.id]["experts"])
        return random.Random(choice.id).sample(EXPERTS, count)

    return {
        "router": lambda choice: router[choice.id]["experts"],
        "truth": lambda choice: choice.experts,
        "random": at_random,
        "all": lambda choice: EXPERTS,
        "none": lambda choice: (),
        **{f"best {k}": best(k) for k in (1, 2, 3)},
    }


def train_routed(
    run: Path, study: Study, ways: Mapping[str, Choose], name: str, seed: int
) -> dict[str, Any]:
    """What a variant answers under each way to choose, and its mean gates under the router."""
    file = run / "routed" / f"{name.replace(' ', '-')}-{seed}.json"
    if file.is_file():
        stored: dict[str, Any] = json.loads(file.read_text())
        return stored
    make, gate_rate = VARIANTS[name]
    torch.manual_seed(seed)
    rng = random.Random(seed)

    def needed(choice: Choice) -> list[str]:
        others = [e for e in EXPERTS if e not in choice.experts]
        more = [rng.choice(others)] if others and rng.random() < MORE else []
        return [*choice.experts, *more]

    side = train_side(study, make(study.codes), ENCODERS, seed, choose=needed, gate_rate=gate_rate)
    found: dict[str, Any] = {
        way: answers(side, study.data, study.test, ENCODERS, choose)
        for way, choose in ways.items()
        if name == ROUTED or way in ("router", "truth")
    }
    two = [choice for choice in study.test if len(choice.experts) == 2]
    if isinstance(side.fusion, MoVAFusion):
        with torch.no_grad():
            side(study.data.batch(two, ENCODERS, ways["truth"]))
        found["gates"] = side.fusion.gates.mean(0).tolist()
    file.parent.mkdir(exist_ok=True)
    with new_file(file) as unfinished:
        unfinished.write_text(json.dumps(found))
    return found


def of_roles(run: Path, fusion: str, encoders: Sequence[str], test: Sequence[Choice]) -> Outcomes:
    """Answers of a side that `studies.sides.roles` has trained."""
    rows = []
    for seed in SEEDS:
        side = json.loads((run / fusion / f"{'+'.join(encoders)}-{seed}.json").read_text())
        right = {answer["id"]: answer["right"] for answer in side["answers"]}
        rows.append([right[choice.id] for choice in test])
    return np.array(rows)


def interval(first: Outcomes, second: Outcomes | None = None) -> tuple[float, float, float]:
    """A share, or a difference of two of the same questions, with its 95% interval in a bootstrap
    over seeds and questions."""
    rng = np.random.default_rng(0)
    of = first.astype(float) - (0.0 if second is None else second.astype(float))
    seeds, questions = of.shape
    if not questions:
        return 0.0, -1.0, 1.0
    drawn = np.array(
        [
            of[rng.integers(seeds, size=seeds)][:, rng.integers(questions, size=questions)].mean()
            for _ in range(DRAWS)
        ]
    )
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(of.mean()), float(low), float(high)


def columns(test: Sequence[Choice]) -> dict[str, Outcomes]:
    """Groups of questions: of each domain, of all, with clutter, and that need two experts."""
    found = {d: np.array([c.domain == d for c in test]) for d in sorted({c.domain for c in test})}
    found["two experts"] = np.array([len(c.experts) == 2 for c in test])
    found["clutter"] = np.array(
        [sum(c.words[e] not in SILENT for e in EXPERTS if e not in c.experts) >= 2 for c in test]
    )
    found["all"] = np.ones(len(test), dtype=bool)
    return found


def verdict(intervals: Sequence[tuple[float, float, float]], margin: float) -> str:
    """Of claims that all must hold: each difference is above the margin."""
    if all(low > margin for _, low, _ in intervals):
        return "holds"
    return "does not hold" if any(high < margin for _, _, high in intervals) else "undecided"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--texts", type=Path, required=True, help="of studies.nano.data text")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="results and claims")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = arguments.run
    study = open_study(run, arguments.texts)
    ways = choices_by(ask_router(run, study.test))
    todo = [(name, seed) for seed in SEEDS for name in VARIANTS]
    routed: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for name, seed in tqdm(todo, desc="routed", unit=" sides"):
        routed[name].append(train_routed(run, study, ways, name, seed))
    write_results(run, study.test, ways, routed, arguments.output)


def write_results(
    run: Path,
    test: Sequence[Choice],
    ways: Mapping[str, Choose],
    routed: Mapping[str, Sequence[Mapping[str, Any]]],
    output: Path,
) -> None:
    """results.csv and claims.csv."""

    def under(name: str, way: str = "router") -> Outcomes:
        return np.array([one[way] for one in routed[name]])

    single = {name: of_roles(run, "plain", [name], test) for name in ENCODERS}
    plain = of_roles(run, "plain", ENCODERS, test)
    every = of_roles(run, "mova", EXPERTS, test)
    mova = under(ROUTED)
    tables: dict[str, dict[str, Outcomes]] = {
        "1": {
            **{f"{name} alone": right for name, right in single.items()},
            "plain fusion of all": plain,
            ROUTED: mova,
        },
        "7": {
            ROUTED: mova,
            "all experts (trained so)": every,
            "all experts (the same side)": under(ROUTED, "all"),
            "random experts": under(ROUTED, "random"),
            "no expert": under(ROUTED, "none"),
            "linear layers": under("linear layers"),
            "the experts that are needed": under(ROUTED, "truth"),
        },
        "8": {ROUTED: mova, **{f"K = {k}": under(ROUTED, f"best {k}") for k in (1, 2, 3)}},
        "11": {
            ROUTED: mova,
            **{name: under(name) for name in ("3 blocks", "uniform gate", "gate at the full rate")},
        },
    }
    groups = columns(test)
    with new_file(output / "results.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADS)
        for table, rows in tables.items():
            for row, right in rows.items():
                for column, inside in groups.items():
                    found = [f"{number:.4f}" for number in interval(right[:, inside])]
                    writer.writerow([table, row, column, *found, int(inside.sum()), len(SEEDS)])
    domains = [column for column in groups if column not in ("two experts", "clutter", "all")]

    def claim(text: str, margin: float, *pairs: tuple[str, Outcomes, Outcomes, str]) -> list[str]:
        found = [interval(a[:, groups[g]], b[:, groups[g]]) for _, a, b, g in pairs]
        told = [
            f"{what} in {group} {100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            for (what, _, _, group), (value, low, high) in zip(pairs, found, strict=True)
        ]
        return [text, verdict(found, margin), "; ".join(told)]

    best = {d: max(single, key=lambda n: float(single[n][:, groups[d]].mean())) for d in domains}
    winners = sorted({*best.values()})
    lost = []
    for name in winners:  # one domain in which another is better
        other = max(
            domains,
            key=lambda d: float((single[best[d]] - 1.0 * single[name])[:, groups[d]].mean()),
        )
        lost.append((f"{best[other]} against {name}", single[best[other]], single[name], other))
    found_claims = [
        claim("No single encoder wins everywhere (table 1)", 0.0, *lost),
        claim(
            "MoVA matches or beats the best single encoder in every domain, to 2 points (table 1)",
            -0.02,
            *((f"MoVA against {best[d]}", mova, single[best[d]], d) for d in domains),
        ),
        claim(
            "MoVA is above random routing (table 7)",
            0.0,
            ("MoVA against random", mova, under(ROUTED, "random"), "all"),
        ),
        claim(
            "MoVA is not below all experts, to 1 point (table 7)",
            -0.01,
            *(("MoVA against all experts", mova, every, g) for g in ("all", "clutter")),
        ),
        claim(
            "MoVA is not below plain fusion, to 1 point (table 1)",
            -0.01,
            *(("MoVA against plain fusion", mova, plain, g) for g in ("all", "clutter")),
        ),
        claim(
            "The MoV-Adapter is not below linear layers where two experts are needed (table 7)",
            -0.01,
            ("MoVA against linear layers", mova, under("linear layers"), "two experts"),
        ),
        claim(
            "Dynamic gating is not below uniform gating where two experts are needed (table 11)",
            -0.01,
            ("MoVA against a uniform gate", mova, under("uniform gate"), "two experts"),
        ),
        claim(
            "A dynamic K is not below a fixed one, to 1 point (table 8)",
            -0.01,
            *(
                (f"MoVA against K = {k}", mova, under(ROUTED, f"best {k}"), "all")
                for k in (1, 2, 3)
            ),
        ),
    ]
    with new_file(output / "claims.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["claim", "verdict", "differences in points (95% interval)"])
        writer.writerows(found_claims)
    for name, seeds in routed.items():
        for seed, one in zip(SEEDS, seeds, strict=True):
            if "gates" in one:
                shares = [
                    dict(zip(EXPERTS, np.round(block, 2), strict=True)) for block in one["gates"]
                ]
                print(f"gates of {name}, seed {seed}, where two experts are needed: {shares}")
    count = sum(len(ways["router"](choice)) for choice in test) / len(test)
    print(f"experts a question: {count:.2f} of {len(EXPERTS)}")


if __name__ == "__main__":
    main()

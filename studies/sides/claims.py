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
from openmova.analysis.roles import join
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
GATED = ("3 blocks", "uniform gate", "gate at the full rate")
OVER_DOMAINS = ("two experts", "clutter", "all")
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
        picture = load_image(run / "data" / choice.folder / choice.image)
        turn = user_turn(choice.question, [Picture.of(picture, mova.processor)])
        inputs = mova.prepare([[turn]], [selection], GenerationLimits(max_new_tokens=1))
        base = mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
        made = mova.model.route(inputs["routing_input_ids"], inputs["routing_attention_mask"], base)
        chosen = made.routing[0].tolist()
        scores = dict(zip(mova.experts, made.scores[0].tolist(), strict=True))
        experts = [name for name, is_chosen in zip(mova.experts, chosen, strict=True) if is_chosen]
        found[choice.id] = {"id": choice.id, "experts": experts, "scores": scores}
        journal.append(found[choice.id])
    return found


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
    """What a variant answers under each way to choose, and its mean gates [blocks, experts] where
    two experts are needed and given."""
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
        side = json.loads((run / fusion / f"{join(tuple(encoders))}-{seed}.json").read_text())
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
        [
            sum(c.words.get(e, "") not in SILENT for e in EXPERTS if e not in c.experts) >= 2
            for c in test
        ]
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
    write_results(run, study.test, routed, arguments.output)
    plot(arguments.output)
    tell_gates(routed)
    count = sum(len(ways["router"](choice)) for choice in study.test) / len(study.test)
    right = sum({*ways["router"](c)} == {*c.experts} for c in study.test) / len(study.test)
    print(f"the router: {count:.2f} of {len(EXPERTS)} experts a question, {right:.2f} as needed")


def write_results(
    run: Path,
    test: Sequence[Choice],
    routed: Mapping[str, Sequence[Mapping[str, Any]]],
    output: Path,
) -> None:
    """results.csv and claims.csv."""

    def under(name: str, way: str = "router") -> Outcomes:
        return np.array([one[way] for one in routed[name]])

    single = {f"{name} alone": of_roles(run, "plain", [name], test) for name in ENCODERS}
    plain = {"plain fusion of all": of_roles(run, "plain", ENCODERS, test)}
    mova = {ROUTED: under(ROUTED)}
    tables: dict[str, dict[str, Outcomes]] = {
        "1": {**single, **plain, **mova},
        "7": {
            **mova,
            "all experts": of_roles(run, "mova", ENCODERS, test),
            "all experts of the routed side": under(ROUTED, "all"),
            "random experts": under(ROUTED, "random"),
            "no expert": under(ROUTED, "none"),
            "linear layers": under("linear layers"),
            "the experts that are needed": under(ROUTED, "truth"),
        },
        "8": {**mova, **{f"K = {k}": under(ROUTED, f"best {k}") for k in (1, 2, 3)}},
        "11": {**mova, **{name: under(name) for name in GATED}},
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
    with new_file(output / "claims.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["claim", "verdict", "differences in points (95% interval)"])
        writer.writerows(
            claims({k: v for rows in tables.values() for k, v in rows.items()}, groups)
        )


def plot(output: Path) -> None:
    """results.png: every row over all questions."""
    from matplotlib.figure import Figure

    with (output / "results.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for cell in csv.DictReader(file) if cell["column"] == "all"]
    tables = list(dict.fromkeys(cell["table"] for cell in cells))
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, table in zip(figure.subplots(2, 2, sharex=True).flat, tables, strict=True):
        own = [cell for cell in cells if cell["table"] == table][::-1]
        value, low, high = (np.array([100 * float(c[k]) for c in own]) for k in HEADS[3:6])
        colours = ["tab:orange" if cell["row"] == ROUTED else "tab:blue" for cell in own]
        names = [cell["row"] for cell in own]
        axes.barh(names, value, xerr=[value - low, high - value], color=colours, capsize=2)
        axes.set(title=f"table {table}", xlim=(20, 80))
        axes.tick_params(labelsize=8)
    figure.supxlabel("% right of all questions, 95% interval", fontsize=9)
    figure.savefig(output / "results.png", dpi=110)


def claims(rows: Mapping[str, Outcomes], groups: Mapping[str, Outcomes]) -> list[list[str]]:
    """Each claim, its verdict, and the differences of rows that it stands on. Rows that answer all
    of its questions alike test nothing."""

    def claim(text: str, margin: float, *pairs: tuple[str, str, str]) -> list[str]:
        found = [
            interval(rows[one][:, groups[group]], rows[other][:, groups[group]])
            for one, other, group in pairs
        ]
        told = [
            f"{one} against {other} in {group} {100 * value:+.1f} "
            f"({100 * low:+.1f} to {100 * high:+.1f})"
            for (one, other, group), (value, low, high) in zip(pairs, found, strict=True)
        ]
        alike = all(
            np.array_equal(rows[one][:, groups[group]], rows[other][:, groups[group]])
            for one, other, group in pairs
        )
        return [text, "not tested" if alike else verdict(found, margin), "; ".join(told)]

    domains = [group for group in groups if group not in OVER_DOMAINS]
    shares = {
        (row, domain): float(rows[row][:, groups[domain]].mean())
        for row in rows
        for domain in domains
    }
    single = [f"{name} alone" for name in ENCODERS]
    best = {domain: max(single, key=lambda row: shares[row, domain]) for domain in domains}
    beaten = []
    for row in sorted({*best.values()}):  # in the domain in which another is better by most
        domain = max(domains, key=lambda d: shares[best[d], d] - shares[row, d])
        beaten.append((best[domain], row, domain))
    both = ("all", "clutter")
    return [
        claim("No single encoder wins everywhere (table 1)", 0.0, *beaten),
        claim(
            "MoVA is not below the best single encoder of any domain, to 2 points (table 1)",
            -0.02,
            *((ROUTED, best[domain], domain) for domain in domains),
        ),
        claim(
            "MoVA is not below plain fusion, to 1 point (table 1)",
            -0.01,
            *((ROUTED, "plain fusion of all", group) for group in both),
        ),
        claim("MoVA is above random routing (table 7)", 0.0, (ROUTED, "random experts", "all")),
        claim(
            "MoVA is not below all experts, to 1 point (table 7)",
            -0.01,
            *((ROUTED, "all experts", group) for group in both),
        ),
        claim(
            "The MoV-Adapter is not below linear layers where two experts are needed (table 7)",
            -0.01,
            (ROUTED, "linear layers", "two experts"),
        ),
        claim(
            "A dynamic K is not below a fixed one, to 1 point (table 8)",
            -0.01,
            *((ROUTED, f"K = {k}", "all") for k in (1, 2, 3)),
        ),
        claim(
            "3 blocks are not below one, to 1 point (table 11)", -0.01, ("3 blocks", ROUTED, "all")
        ),
        claim(
            "Dynamic gating is not below uniform gating where two experts are needed (table 11)",
            -0.01,
            (ROUTED, "uniform gate", "two experts"),
        ),
    ]


def tell_gates(routed: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the mean gates of questions that need two experts."""
    for name, seeds in routed.items():
        for seed, one in zip(SEEDS, seeds, strict=True):
            for number, block in enumerate(one.get("gates", ()), start=1):
                shares = ", ".join(
                    f"{expert} {share:.2f}" for expert, share in zip(EXPERTS, block, strict=True)
                )
                print(f"{name}, seed {seed}, block {number}: {shares}")


if __name__ == "__main__":
    main()

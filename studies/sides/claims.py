"""Which of the paper's claims hold with nano's encoders: docs/results.csv and docs/claims.csv.

    python -m studies.sides.claims runs/sides --texts runs/nano-data/text/samples.jsonl

Trains sides until the loss of held-out questions is flat: of every encoder alone, of all, and those
that route. The last are asked under the choices of nano's own router, of chance, of a fixed number
and of every fixed set. What is done is kept: the same command goes on.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
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
from studies import new_parser
from studies.nano.encode import encode
from studies.sides.cost import Costs, measure_costs, side_of_cost
from studies.sides.questions import Choice
from studies.sides.roles import ENCODERS
from studies.sides.side import EXPERTS, LARGE, MoVAFusion, PlainFusion
from studies.sides.training import (
    Choose,
    Study,
    answers,
    open_study,
    read_maps,
    train_side_until_flat,
)

SEEDS = (0, 1, 2)
SLOW, FULL = 0.1, 1.0
"""Shares of the rate for the gate."""
MORE = 0.3
"""How often a question of the training is given an expert more than it needs."""
ROUTED = "MoVA"


def routed(
    *, blocks: int = 1, uniform: bool = False
) -> Callable[[TokenCodes, Sequence[str]], nn.Module]:
    return lambda codes, encoders: MoVAFusion(encoders, codes, blocks=blocks, uniform=uniform)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A side that is trained."""

    make: Callable[[TokenCodes, Sequence[str]], nn.Module]
    encoders: Sequence[str] = ENCODERS
    routes: bool = True
    """It is trained with the experts that a question needs; False: with all of them."""
    gate_rate: float = SLOW


def plain(_: TokenCodes, encoders: Sequence[str]) -> nn.Module:
    return PlainFusion(encoders)


VARIANTS: Mapping[str, Variant] = {
    ROUTED: Variant(make=routed()),
    "3 blocks": Variant(make=routed(blocks=3)),
    "uniform gate": Variant(make=routed(uniform=True)),
    "gate at the full rate": Variant(make=routed(), gate_rate=FULL),
    "linear layers": Variant(make=plain),
    "all experts": Variant(make=routed(), routes=False),
    "plain fusion of all": Variant(make=plain, routes=False),
    **{
        f"{name} alone": Variant(make=plain, encoders=[name], routes=False)
        for name in (*ENCODERS, LARGE)
    },
}
TABLES = ("1", "7", "8", "11")
GATED = ("3 blocks", "uniform gate", "gate at the full rate")
OVER_DOMAINS = ("two experts", "clutter", "all")
SILENT = ("", "nothing")
NONE, ALL = "none", "+".join(EXPERTS)
DRAWS = 2000
HEADS = ("table", "row", "column", "value", "low", "high", "seconds", "questions", "seeds")
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
        answer = zip(mova.experts, chosen, strict=True)
        experts = [name for name, is_chosen in answer if is_chosen and name in EXPERTS]
        found[choice.id] = {"id": choice.id, "experts": experts, "scores": scores}
        journal.append(found[choice.id])
    return found


def choices_by(router: Mapping[str, Row]) -> dict[str, Choose]:
    """The ways in which experts are chosen for a question; a fixed set is named by its experts."""

    def best(count: int) -> Choose:
        def choose(choice: Choice) -> list[str]:
            scores = router[choice.id]["scores"]
            return sorted(scores, key=lambda name: -scores[name])[:count]

        return choose

    def at_random(choice: Choice) -> list[str]:
        count = len(router[choice.id]["experts"])
        return random.Random(choice.id).sample(EXPERTS, count)

    def fixed(names: Sequence[str]) -> Choose:
        return lambda choice: names

    sets = chain.from_iterable(combinations(EXPERTS, n) for n in range(len(EXPERTS) + 1))
    return {
        "router": lambda choice: router[choice.id]["experts"],
        "truth": lambda choice: choice.experts,
        "random": at_random,
        **{f"best {k}": best(k) for k in (1, 2, 3)},
        **{"+".join(names) or NONE: fixed(names) for names in sets},
    }


def train_variant(
    run: Path, study: Study, ways: Mapping[str, Choose], name: str, seed: int
) -> dict[str, Any]:
    """What a variant answers under each way to choose, the `steps` it took, and its mean gates
    [blocks, experts] where two experts are needed and given."""
    file = run / "flat" / f"{name.replace(' ', '-')}-{seed}.json"
    if file.is_file():
        stored: dict[str, Any] = json.loads(file.read_text())
        return stored
    variant = VARIANTS[name]
    torch.manual_seed(seed)
    rng = random.Random(seed)

    def needed(choice: Choice) -> list[str]:
        others = [e for e in EXPERTS if e not in choice.experts]
        more = [rng.choice(others)] if others and rng.random() < MORE else []
        return [*choice.experts, *more]

    encoders = variant.encoders
    side, steps = train_side_until_flat(
        study,
        variant.make(study.codes, encoders),
        encoders,
        seed,
        choose=needed if variant.routes else None,
        gate_rate=variant.gate_rate,
    )
    found: dict[str, Any] = {"steps": steps}
    if variant.routes:
        for way, choose in ways.items():
            if name == ROUTED or way in ("router", "truth"):
                found[way] = answers(side, study.data, study.test, encoders, choose)
    else:
        found[ALL] = answers(side, study.data, study.test, encoders)
    two = [choice for choice in study.test if len(choice.experts) == 2]
    if variant.routes and isinstance(side.fusion, MoVAFusion):
        with torch.no_grad():
            side(study.data.batch(two, encoders, ways["truth"]))
        found["gates"] = side.fusion.gates.mean(0).tolist()
    file.parent.mkdir(exist_ok=True)
    with new_file(file) as unfinished:
        unfinished.write_text(json.dumps(found))
    return found


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
    parser = new_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--texts", type=Path, required=True, help="of studies.nano.data text")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="results and claims")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="only train these")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = arguments.run
    study = open_study(run, arguments.texts)
    ways = choices_by(ask_router(run, study.test))
    costs = measure_costs(run, study.test)
    add_large_encoder(run, study, fmean(seconds(costs, study.test, ways["router"])))
    todo = [(name, seed) for seed in arguments.seeds for name in VARIANTS]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for name, seed in tqdm(todo, desc="sides", unit=" sides"):
        found[name].append(train_variant(run, study, ways, name, seed))
    if tuple(arguments.seeds) != SEEDS:
        return
    write_results(rows(found, study.test, ways, costs), study.test, arguments.output)
    plot(arguments.output)
    plot_costs(found[ROUTED], study.test, ways, costs, arguments.output)
    tell_training(found)
    count = sum(len(ways["router"](choice)) for choice in study.test) / len(study.test)
    right = sum({*ways["router"](c)} == {*c.experts} for c in study.test) / len(study.test)
    print(f"the router: {count:.2f} of {len(EXPERTS)} experts a question, {right:.2f} as needed")


def add_large_encoder(run: Path, study: Study, cost: float) -> None:
    """Maps of the base encoder on a picture so large that it takes `cost` seconds."""
    file = run / "large.json"
    if not file.is_file():
        with new_file(file) as unfinished:
            unfinished.write_text(json.dumps({"side": side_of_cost(run, study.test, cost)}))
    side = json.loads(file.read_text())["side"]
    folders = sorted(study.data.stored["base"])
    for folder in folders:
        encode(run / "data" / folder, len(study.data.stored["base"][folder]), LARGE, side)
    study.data.stored[LARGE] = read_maps(run / "data", folders, LARGE)


def seconds(costs: Costs, test: Sequence[Choice], choose: Choose) -> list[float]:
    """Of each question what the base and the chosen experts take."""
    return [
        costs[choice.folder]["base"] + sum(costs[choice.folder][e] for e in choose(choice))
        for choice in test
    ]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table: what it answers, and seconds of each question."""

    table: str
    right: Outcomes
    seconds: np.ndarray[Any, np.dtype[np.float64]]


def rows(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    test: Sequence[Choice],
    ways: Mapping[str, Choose],
    costs: Costs,
) -> dict[str, Line]:
    """Rows of all tables; that of MoVA is in each of them."""

    def line(table: str, name: str, way: str = "router") -> Line:
        if VARIANTS[name].routes:
            taken = seconds(costs, test, ways[way])
        elif name == f"{LARGE} alone":  # as costly as the router's choice, by its making
            taken = [fmean(seconds(costs, test, ways["router"]))] * len(test)
        else:
            names = [*VARIANTS[name].encoders]
            taken = [sum(costs[choice.folder][e] for e in names) for choice in test]
        way = way if VARIANTS[name].routes else ALL
        right = np.array([one[way] for one in found[name]])
        return Line(table=table, right=right, seconds=np.array(taken))

    return {
        **{f"{name} alone": line("1", f"{name} alone") for name in (*ENCODERS, LARGE)},
        "plain fusion of all": line("1", "plain fusion of all"),
        ROUTED: line("", ROUTED),
        "all experts": line("7", "all experts"),
        "all experts of the routed side": line("7", ROUTED, ALL),
        "random experts": line("7", ROUTED, "random"),
        "no expert": line("7", ROUTED, NONE),
        "linear layers": line("7", "linear layers"),
        "the experts that are needed": line("7", ROUTED, "truth"),
        **{f"K = {k}": line("8", ROUTED, f"best {k}") for k in (1, 2, 3)},
        **{name: line("11", name) for name in GATED},
    }


def write_results(lines: Mapping[str, Line], test: Sequence[Choice], output: Path) -> None:
    """results.csv and claims.csv."""
    groups = columns(test)
    with new_file(output / "results.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADS)
        for table in TABLES:
            for row, line in lines.items():
                if line.table not in (table, ""):
                    continue
                for column, inside in groups.items():
                    found = [f"{number:.4f}" for number in interval(line.right[:, inside])]
                    taken = f"{line.seconds[inside].mean():.3f}"
                    cells = [table, row, column, *found, taken, int(inside.sum()), len(SEEDS)]
                    writer.writerow(cells)
    with new_file(output / "claims.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["claim", "verdict", "differences in points (95% interval)"])
        writer.writerows(claims({name: line.right for name, line in lines.items()}, groups))


def plot(output: Path) -> None:
    """results.png: every row over all questions."""
    with (output / "results.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for cell in csv.DictReader(file) if cell["column"] == "all"]
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, table in zip(figure.subplots(2, 2, sharex=True).flat, TABLES, strict=True):
        own = [cell for cell in cells if cell["table"] == table][::-1]
        value, low, high = (np.array([100 * float(c[k]) for c in own]) for k in HEADS[3:6])
        colours = ["tab:orange" if cell["row"] == ROUTED else "tab:blue" for cell in own]
        names = [cell["row"] for cell in own]
        axes.barh(names, value, xerr=[value - low, high - value], color=colours, capsize=2)
        axes.set(title=f"table {table}", xlim=(20, 80))
        axes.tick_params(labelsize=8)
    figure.supxlabel("% right of all questions, 95% interval", fontsize=9)
    figure.savefig(output / "results.png", dpi=110)


def plot_costs(
    found: Sequence[Mapping[str, Any]],
    test: Sequence[Choice],
    ways: Mapping[str, Choose],
    costs: Costs,
    output: Path,
) -> None:
    """costs.png: right answers of one routed side over seconds of its encoders, under each way to
    choose, beside the encoders alone."""
    with (output / "results.csv").open(newline="", encoding="utf-8") as file:
        table = [c for c in csv.DictReader(file) if (c["table"], c["column"]) == ("1", "all")]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()

    def point(name: str, way: str, marker: str, colour: str) -> None:
        right = 100 * np.mean([one[way] for one in found])
        taken = fmean(seconds(costs, test, ways[way]))
        axes.plot(taken, right, marker, color=colour)
        axes.annotate(name, (taken, right), (5, 4), textcoords="offset points", fontsize=8)

    fixed = [way for way in ways if way == NONE or {*way.split("+")} <= {*EXPERTS}]
    for way in fixed:
        point("no expert" if way == NONE else "all" if way == ALL else "", way, ".", "tab:grey")
    for k in (1, 2, 3):
        point(f"K = {k}", f"best {k}", "s", "tab:green")
    point("random", "random", "v", "tab:red")
    point("router", "router", "*", "tab:orange")
    for cell in table:
        if cell["row"].endswith("alone"):
            place = float(cell["seconds"]), 100 * float(cell["value"])
            axes.plot(*place, "x", color="tab:blue")
            axes.annotate(cell["row"], place, (5, -9), textcoords="offset points", fontsize=7)
    axes.set(xlabel="seconds of the encoders a picture, one thread", ylabel="% right")
    figure.savefig(output / "costs.png", dpi=110)


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
        claim(
            "MoVA is not below one encoder of the same cost, to 1 point (table 1)",
            -0.01,
            *((ROUTED, f"{LARGE} alone", group) for group in both),
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


def tell_training(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the steps of each side, and the mean gates of questions that need two experts."""
    for name, seeds in found.items():
        print(f"{name}: {', '.join(str(one['steps']) for one in seeds)} steps")
        for seed, one in zip(SEEDS, seeds, strict=True):
            for number, block in enumerate(one.get("gates", ()), start=1):
                shares = ", ".join(
                    f"{expert} {share:.2f}" for expert, share in zip(EXPERTS, block, strict=True)
                )
                print(f"{name}, seed {seed}, block {number}: {shares}")


if __name__ == "__main__":
    main()

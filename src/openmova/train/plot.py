"""A run's log as one picture: losses, learning rates, evaluation, the experts' use and weights, the
gates of each domain; of the stage grpo the rewards and what became of the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmova.runtime.files import new_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.6, 3.1)
"""Inches of one panel."""
COLUMNS = 3
DOMAINS = 9
"""Most domains in the picture: those with the most samples."""
SHARES = "shares of the groups"
REWARD_PANELS = {
    "reward": "reward/",
    "reward by noise level": "reward_at_noise/",
    SHARES: "groups/",
    "KL": "kl/",
    "length": "length/",
    "experts a question": "experts_a_question/",
}
"""Of the stage grpo: each with the beginning of its names in the log."""
Entry = Mapping[str, Any]
Lines = dict[str, list[tuple[int, float]]]
"""Of each name: step and value."""


def can_draw() -> bool:
    """Whether matplotlib is installed, which the library needs for nothing else."""
    return find_spec("matplotlib") is not None


def draw_log(entries: Sequence[Entry], file: Path) -> None:
    """Entries of a run's log as a PNG file. An empty panel is left out."""
    from matplotlib.figure import Figure

    samples: Counter[str] = Counter()
    for entry in entries:
        for name, found in entry.get("domains", {}).items():
            samples[name] += found["samples"]
    domains = [name for name, _ in samples.most_common(DOMAINS)]

    def losses(entry: Entry) -> Mapping[str, Any]:
        of = {name: entry.get("domains", {}).get(name, {}).get("loss") for name in domains}
        return {"all": entry.get("loss"), "held out": entry.get("eval_loss"), **of}

    def evaluation(entry: Entry) -> Mapping[str, Any]:
        names = {"exact answers": "eval_exact", "routing as annotated": "eval_routing"}
        return {name: entry.get(key) for name, key in names.items()}

    def experts(what: str) -> Numbers:
        return lambda entry: {
            name: use[what] if use["chosen"] else None
            for name, use in entry.get("experts", {}).items()
        }

    def gates(domain: str) -> Numbers:
        """Each expert's mean weight over the blocks."""

        def numbers(entry: Entry) -> Mapping[str, Any]:
            found = entry.get("domains", {}).get(domain, {"chosen": (), "gates": {}})
            means = {name: sum(blocks) / len(blocks) for name, blocks in found["gates"].items()}
            return {name: means.get(name) for name in found["chosen"]}

        return numbers

    panels = {
        "loss": losses,
        "learning rate": _beginning("learning_rate/"),
        "evaluation": evaluation,
        **{title: _beginning(prefix) for title, prefix in REWARD_PANELS.items()},
        "share of the samples": experts("chosen"),
        "mean weight where chosen": experts("gate"),
        **{f"gates: {domain}": gates(domain) for domain in domains},
    }
    drawn = {title: _lines(entries, numbers) for title, numbers in panels.items()}
    drawn = {title: lines for title, lines in drawn.items() if any(lines.values())}
    columns = min(COLUMNS, max(len(drawn), 1))
    rows = -(-len(drawn) // columns) or 1
    figure = Figure(figsize=(columns * SIZE[0], rows * SIZE[1]), layout="tight")
    for number, (title, lines) in enumerate(drawn.items(), start=1):
        _panel(figure.add_subplot(rows, columns, number), title, lines)
    with new_file(file) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)


Numbers = Callable[[Entry], Mapping[str, Any]]
"""The numbers of a panel in an entry; None where it has none."""


def _beginning(prefix: str) -> Numbers:
    """All numbers whose names begin so."""
    return lambda entry: {
        key.removeprefix(prefix): value for key, value in entry.items() if key.startswith(prefix)
    }


def _lines(entries: Iterable[Entry], numbers: Numbers) -> Lines:
    """Of every name in the entries, so that it has its colour also where it has no points."""
    lines: Lines = {}
    for entry in entries:
        for name, value in numbers(entry).items():
            line = lines.setdefault(name, [])
            if value is not None:
                line.append((entry["step"], value))
    return lines


def _panel(axes: Axes, title: str, lines: Lines) -> None:
    for number, (name, points) in enumerate(lines.items()):
        if not points:
            continue
        main = title == "loss" and number < 2  # of all domains
        axes.plot(
            *zip(*points, strict=True),
            label=name,
            linewidth=2 if main else 1,
            color="black" if main else f"C{number % 10}",
            linestyle="--" if main and number else "-",
            marker="." if len(points) < 20 else None,
        )
    if title not in ("loss", "learning rate", *REWARD_PANELS) or title == SHARES:
        axes.set_ylim(-0.03, 1.03)
    axes.set_title(title, fontsize=10, pad=4)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)

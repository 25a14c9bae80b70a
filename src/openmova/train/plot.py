"""A run's log as one picture: losses, learning rates, evaluation, the experts' use and weights, the
gates of each domain; of the stage grpo the rewards and what became of the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def can_draw() -> bool:
    """Whether matplotlib is installed, which the library needs for nothing else."""
    return find_spec("matplotlib") is not None


def draw_log(entries: Sequence[Entry], file: Path) -> None:
    """Entries of a run's log as a PNG file. An empty panel is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [entry for entry in entries if "loss" in entry]
    samples: Counter[str] = Counter()
    for entry in steps:
        for name, found in entry.get("domains", {}).items():
            samples[name] += found["samples"]
    domains = [name for name, _ in samples.most_common(DOMAINS)]
    panels = [
        ("loss", _losses(entries, steps, domains)),
        ("learning rate", _with_prefix(steps, "learning_rate/")),
        ("evaluation", _evaluation(entries)),
        *((title, _with_prefix(steps, prefix)) for title, prefix in REWARD_PANELS.items()),
        ("share of the samples", _experts(steps, "chosen")),
        ("mean weight where chosen", _experts(steps, "gate")),
        *((f"gates: {domain}", _gates(steps, domain)) for domain in domains),
    ]
    panels = [(title, lines) for title, lines in panels if any(lines.values())]
    columns = min(COLUMNS, max(len(panels), 1))
    rows = -(-len(panels) // columns) or 1
    figure = Figure(figsize=(columns * SIZE[0], rows * SIZE[1]))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.55 / (columns * SIZE[0]),
        right=1 - 0.15 / (columns * SIZE[0]),
        bottom=0.3 / (rows * SIZE[1]),
        top=1 - 0.3 / (rows * SIZE[1]),
        wspace=0.17,
        hspace=0.25,
    )
    for number, (title, lines) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        _panel(axes, title, lines)
    unfinished = file.with_name(f"{file.name}.tmp")
    figure.savefig(unfinished, format="png", dpi=100)
    unfinished.replace(file)


Lines = dict[str, list[tuple[int, float]]]
"""Of each name: step and value."""


def _losses(entries: Iterable[Entry], steps: Iterable[Entry], domains: Iterable[str]) -> Lines:
    lines = {
        "all": [(e["step"], e["loss"]) for e in steps],
        "held out": [(e["step"], e["eval_loss"]) for e in entries if "eval_loss" in e],
    }
    for domain in domains:
        seen = [e for e in steps if domain in e.get("domains", {})]
        lines[domain] = [(e["step"], e["domains"][domain]["loss"]) for e in seen]
    return lines


def _with_prefix(entries: Iterable[Entry], prefix: str) -> Lines:
    lines: Lines = {}
    for entry in entries:
        for key, value in entry.items():
            if key.startswith(prefix):
                lines.setdefault(key.removeprefix(prefix), []).append((entry["step"], value))
    return lines


def _evaluation(entries: Iterable[Entry]) -> Lines:
    names = {"eval_exact": "exact answers", "eval_routing": "routing as annotated"}
    return {name: [(e["step"], e[key]) for e in entries if key in e] for key, name in names.items()}


def _experts(steps: Iterable[Entry], what: str) -> Lines:
    lines: Lines = {}
    for entry in steps:
        for name, use in entry.get("experts", {}).items():  # an older log has none
            line = lines.setdefault(name, [])
            if use["chosen"]:
                line.append((entry["step"], use[what]))
    return lines


def _gates(steps: Iterable[Entry], domain: str) -> Lines:
    """Each expert's mean weight over the blocks; every expert, so that it has its colour."""
    lines: Lines = {}
    for entry in steps:
        if domain in entry.get("domains", {}):
            found = entry["domains"][domain]
            for expert in found["chosen"]:
                line = lines.setdefault(expert, [])
                if expert in found["gates"]:
                    blocks = found["gates"][expert]
                    line.append((entry["step"], sum(blocks) / len(blocks)))
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

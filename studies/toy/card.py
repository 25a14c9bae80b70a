"""The measured part of nano's model card, out of a run's reports."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from openmova.errors import UserError
from openmova.evaluate.intervals import percent
from studies.toy.suite import GROUPS

BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
NAMES = {
    "object": "object class (22 classes)",
    "text": "text on forms",
    "chart": "charts",
    "location": "localisation and counting",
    "none": "the image as a whole",
    "overall": "all",
}
COLUMNS = {
    "routed": "routed",
    "base_only": "base only",
    "all_experts": "all experts",
    "majority": "majority",
    "routing_accuracy": "routing",
}


def write_card(run: Path, card: Path) -> None:
    """Put the tables of `run`/eval.json, open-world.json and times.tsv between the card's marks.

    Raises UserError if a report or a mark is missing.
    """
    text = card.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise UserError(f"{card.name} has no marks {BEGIN.strip()} and {END.strip()}")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    tables = "\n".join([_suite(run), _open_world(run), _times(run)])
    card.write_text(f"{before}{BEGIN}{tables}{END}{after}", encoding="utf-8")


def report(file: Path) -> dict[str, Any]:
    """A report as the evaluation wrote it. Raises UserError if it is not there."""
    try:
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{str(file)!r} is not there: run recipes/nano.sh to its end") from error
    return read


def _suite(run: Path) -> str:
    read = report(run / "eval.json")
    rows = [
        f"| {NAMES[group]} | {' | '.join(percent(read['domains'][group][c]) for c in COLUMNS)} |"
        for group in (*GROUPS, "overall")
    ]
    return (
        f"`openmova eval --suite nano --seed {read['seed']} --json`, {read['n']} questions, exact "
        "match in per cent with 95% Wilson\nintervals:\n\n"
        f"| group | {' | '.join(COLUMNS.values())} |\n|{'---|' * (len(COLUMNS) + 1)}\n"
        + "\n".join(rows)
        + f"\n\nRouted minus base alone, mean over the four domains: "
        f"{100 * read['gain_over_base']:+.1f} points.\n"
    )


def _open_world(run: Path) -> str:
    read = report(run / "open-world.json")
    return (
        "`openmova eval --suite open-world --json`, experts that no training saw, described in "
        f"words:\n{percent(read['exact'])}% of {read['exact']['n']} questions routed exactly "
        f"(a letter drawn blindly: {100 * read['chance']:.1f}%).\n"
    )


def _times(run: Path) -> str:
    """A stage that was stopped and gone on with has several lines."""
    seconds: Counter[str] = Counter()
    for line in (run / "times.tsv").read_text(encoding="utf-8").splitlines():
        name, _, taken = line.partition("\t")
        seconds[name] += int(taken)
    rows = [f"| {name} | {taken / 60:.0f} |" for name, taken in seconds.items() if taken >= 30]
    return "| stage | minutes |\n|---|---|\n" + "\n".join(rows) + "\n"

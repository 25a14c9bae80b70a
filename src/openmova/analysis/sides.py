"""Answers of retrained sides, read from what a study has written (docs/roles.md has the format).

A side is one training of one set of encoders: a JSON object with its encoders, seed, parameters,
answers and features. They come as a folder of such objects, as one JSON array of them, or, without
features, as CSV with a line for each answer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from openmova.analysis.ablation import Names
from openmova.analysis.ranks import TokenSums
from openmova.analysis.roles import PLACES, Outcomes, join
from openmova.errors import UserError, reason

COLUMNS = ("encoders", "id", "right")
"""Of CSV; seed, parameters and domain may be there too."""
TRUTH = {"1": True, "true": True, "0": False, "false": False}


def read_sides(path: Path) -> Outcomes:
    """Raises UserError for what can't be read, and for sides that do not fit together."""
    sides: dict[Names, dict[int, dict[str, Any]]] = {}
    asked: dict[str, str] = {}
    for where, side in _sides(path):
        given = _checked(side, where)
        names, seed = tuple(sorted(given["encoders"])), given["seed"]
        answers = given["answers"]
        asked = asked or {key: domain for key, (domain, _) in answers.items()}
        if asked != {key: domain for key, (domain, _) in answers.items()}:
            odd = sorted(asked.keys() ^ answers.keys()) or ["the same with other domains"]
            raise UserError(
                f"{where} answers other questions than the first side ({odd[0]}): ask all sides "
                "the same"
            )
        if seed in sides.setdefault(names, {}):
            raise UserError(f"{where} is {join(names)} of seed {seed} again: leave one out")
        sides[names][seed] = given
    if not asked:
        raise UserError(f"{str(path)!r} holds no answers of a side: see docs/roles.md")
    largest = max(sides, key=len)
    pool = tuple(next(iter(sides[largest].values()))["encoders"])
    if unknown := sorted({name for names in sides for name in names} - {*pool}):
        raise UserError(
            f"{str(path)!r} has {unknown[0]} and no side of it with all others: the largest is "
            f"{join(pool)}"
        )
    ordered = {tuple(n for n in pool if n in names): found for names, found in sides.items()}
    return Outcomes(
        source=path.name,
        how=f"Trained for each set, seeds: {len(sides[largest])}.",
        pool=pool,
        domains=list(asked.values()),
        right={
            names: np.array([[side["answers"][key][1] for key in asked] for side in found.values()])
            for names, found in sorted(ordered.items(), key=lambda pair: len(pair[0]))
        },
        parameters={
            name: next((s["parameters"] for s in ordered.get((name,), {}).values()), None)
            for name in pool
        },
        ranks=_ranks(ordered, pool, path if path.is_dir() else path.parent),
    )


def _sides(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each side is from, and what is there."""
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            yield str(file), _json(file)
    elif path.suffix.lower() == ".csv":
        yield from _of_csv(path)
    else:
        found = _json(path)
        if not isinstance(found, list):
            raise UserError(f"{str(path)!r} holds no array of sides: see docs/roles.md")
        for number, side in enumerate(found, start=1):
            yield f"side {number} of {path.name}", side


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {str(path)!r} ({reason(error)}): check the path") from error


def _of_csv(path: Path) -> Iterator[tuple[str, Any]]:
    sides: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            if lacking := [name for name in COLUMNS if name not in (lines.fieldnames or ())]:
                raise UserError(f"{path.name} has no column {lacking[0]!r}: see docs/roles.md")
            for line in lines:
                side = sides.setdefault(
                    (line["encoders"], line.get("seed") or "0"),
                    {"parameters": _number(line.get("parameters")), "answers": []},
                )
                right = TRUTH.get(line["right"].strip().lower(), line["right"])
                about = {"id": line["id"], "domain": line.get("domain") or "", "right": right}
                side["answers"].append(about)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"can't read {str(path)!r} ({reason(error)}): check the path") from error
    for (encoders, seed), side in sides.items():
        where = f"{encoders} of seed {seed} in {path.name}"
        yield where, {"encoders": encoders.split("+"), "seed": _number(seed), **side}


def _number(text: str | None) -> int | str | None:
    return int(text) if text and text.strip().isdecimal() else text or None


def _checked(side: Any, where: str) -> dict[str, Any]:
    """A side with its answers as {id: (domain, right)}. Raises UserError for what is none."""

    def fault(what: str) -> UserError:
        return UserError(f"{where}: {what}, see docs/roles.md")

    if not isinstance(side, Mapping):
        raise fault("it is no object")
    names, listed = side.get("encoders"), side.get("answers")
    if not (isinstance(names, list) and all(isinstance(n, str) and n for n in names)):
        raise fault("its encoders are no list of names")
    if len({*names}) < len(names):
        raise fault("an encoder is named twice")
    seed, parameters = side.get("seed", 0), side.get("parameters")
    if not isinstance(seed, int) or not (parameters is None or isinstance(parameters, int)):
        raise fault("its seed or its parameters are no whole number")
    if not isinstance(listed, list) or not listed:
        raise fault("it has no answers")
    answers: dict[str, tuple[str, bool]] = {}
    for answer in listed:
        match answer:
            case {"id": str(key), "right": bool(right)} if key not in answers:
                answers[key] = (str(answer.get("domain") or ""), right)
            case _:
                raise fault(f"{str(answer)[:80]} is no answer, or its id comes twice")
    return {
        "encoders": names,
        "seed": seed,
        "parameters": parameters,
        "answers": answers,
        "features": side.get("features"),
    }


def _ranks(
    sides: Mapping[Names, Mapping[int, Mapping[str, Any]]], pool: Names, folder: Path
) -> dict[str, Any]:
    """Of every encoder, alone and in the side of all: of the first seed that has features, whose
    paths start from the folder."""
    found: dict[str, Any] = {name: {} for name in pool}
    for way, names in [*(("alone", (name,)) for name in pool), ("joint", pool)]:
        paths = (side["features"] for side in sides.get(names, {}).values())
        if (path := next((path for path in paths if path), None)) is None:
            continue
        try:
            tensors = load_file(folder / path)
            for name in names:
                found[name][way] = {
                    p: TokenSums().add(tensors[f"{p}/{name}"]).measure() for p in PLACES
                }
        except (OSError, TypeError, SafetensorError, KeyError) as error:
            raise UserError(
                f"the features {str(path)!r} of {join(names)} can't be read ({reason(error)}): see "
                "docs/roles.md"
            ) from error
    return found if any(found.values()) else {}

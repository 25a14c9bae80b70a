"""Asks the routers: nano's language model, other checkpoints', MiniLM and MLPs (tables 10, 14, 16).

Every choice is kept in the journal; right is who names exactly the experts that are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from openmova.checkpoints.nano_spec import ROUTING_GRID, TOKEN_GRID
from openmova.inference.mova import Mova
from openmova.runtime.run_store import Journal, Row, fingerprint
from studies.claims import open_world_suite, routers
from studies.claims.answers import Asker
from studies.claims.claims import LANGUAGE_MODEL, MINILM, MLP
from studies.claims.questions import Question
from studies.claims.routers import SentenceEncoder

SEEDS = (1, 2, 3)
"""Of the MLPs."""
GRIDS = ((1, 2), ROUTING_GRID, TOKEN_GRID)
"""Of the image tokens that the router sees: few, nano's own, all."""
Item = TypeVar("Item")
Rights = dict[str, NDArray[np.float64]]
"""Of each router, whether it was right: [seeds, questions]."""


def in_own_pool(asker: Asker, routed: Sequence[Row]) -> Rights:
    """Over nano's own pool; routed: what nano's router said of the suite's questions."""
    encoder = cache(lambda: SentenceEncoder(asker.mova))

    def way(choose: Callable[..., list[set[str]]], asked: list[Question]) -> Iterator[Row]:
        for question, names in zip(asked, choose(encoder(), asked), strict=True):
            yield {"needed": list(question.fact.experts), "chosen": sorted(names)}

    items = {question.key: question for question in asker.asked}
    return {
        LANGUAGE_MODEL: _right([routed]),
        MINILM: _asked(
            asker.journal, f"router/{MINILM}", items, [partial(way, routers.nearest_in_pool)]
        ),
        MLP: _asked(
            asker.journal,
            f"router/{MLP}",
            items,
            [partial(way, partial(routers.mlp_in_pool, seed=seed)) for seed in SEEDS],
        ),
    }


def in_open_world(asker: Asker, seed: int) -> Rights:
    """Over the open world's pools: nano's, that of every checkpoint in routers/, and the others."""
    encoder = cache(lambda: SentenceEncoder(asker.mova))
    items = {str(number): item for number, item in enumerate(open_world_suite.items(seed))}
    rights: Rights = {}
    for name, (path, place) in _checkpoints(asker.folder).items():
        loaded = cache(partial(asker.load, path)) if path else lambda: asker.mova
        rights[name] = _asked(
            asker.journal,
            f"open-world/{place}",
            items,
            [partial(_route, loaded)],
            batch=asker.batch,
        )

    def way(choose: Callable[..., list[str]], asked: list[open_world_suite.Item]) -> Iterator[Row]:
        for item, name in zip(asked, choose(encoder(), asked), strict=True):
            yield {"needed": [item.expert], "chosen": [name]}

    rights[MINILM] = _asked(
        asker.journal,
        f"open-world/{MINILM}",
        items,
        [partial(way, routers.nearest_in_open_world)],
    )
    rights[MLP] = _asked(
        asker.journal,
        f"open-world/{MLP}",
        items,
        [partial(way, partial(routers.mlp_in_open_world, seed=seed)) for seed in SEEDS],
    )
    return rights


def by_grid(asker: Asker) -> Rights:
    """Nano's router with other numbers of image tokens than it was finetuned with."""
    return {
        f"{rows * columns} tokens": _right(
            [asker.routed(None if (rows, columns) == ROUTING_GRID else (rows, columns))]
        )
        for rows, columns in GRIDS
    }


def _checkpoints(folder: Path) -> dict[str, tuple[Path | None, str]]:
    """The language models that route, by name: their folder, and their place in the journal."""
    found: dict[str, tuple[Path | None, str]] = {LANGUAGE_MODEL: (None, LANGUAGE_MODEL)}
    for path in sorted((folder / "routers").glob("*/")):
        found[path.name] = (path, f"{path.name}@{fingerprint(path)[:8]}")
    return found


def _route(loaded: Callable[[], Mova], asked: list[open_world_suite.Item]) -> Iterable[Row]:
    return open_world_suite.routed(loaded(), asked)


def _asked(
    journal: Journal,
    place: str,
    items: Mapping[str, Item],
    ways: Sequence[Callable[[list[Item]], Iterable[Row]]],
    batch: int | None = None,
) -> NDArray[np.float64]:
    """Every item asked in each of the ways; without a batch, all of them at once."""
    return _right(
        [
            journal.complete(
                {f"{place}/{number}/{key}": item for key, item in items.items()},
                way,
                batch=batch or len(items),
                name=place,
            )
            for number, way in enumerate(ways, start=1)
        ]
    )


def _right(parts: Sequence[Sequence[Row]]) -> NDArray[np.float64]:
    """[seeds, questions]"""
    return np.array(
        [[set(row["chosen"]) == set(row["needed"]) for row in rows] for rows in parts], float
    )

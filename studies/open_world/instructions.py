"""Imagined experts, and routing instructions over them: practice for pools never seen (table 10).

suites/open-world/experts.yaml describes vision experts that nobody built, and has questions that
need them. A router trained on some of them is asked about the others. The picture carries nothing
here, in training as in the evaluation: it is any generated page.

    python -m studies.open_world.instructions open-world.json --model nano

writes training data, a LLaVA JSON file with its pages beside it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from PIL import Image

from openmova.checkpoints.locate import checkpoint_folder
from openmova.data.records import write_llava
from openmova.data.routing_instructions import COUNT
from openmova.data.sample import Sample, Turn
from openmova.data.synthetic import DRAW
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import INSTRUCTION, expert_letters, format_routing, routing_prompt
from openmova.routing.augment import UNCHANGED, Augmentation, augmented_pool
from studies import new_parser

EXPERTS = Path(__file__).parents[2] / "suites" / "open-world" / "experts.yaml"
POOL = 7
"""Experts a prompt shows, unless it is cut: as many as the suite holds out."""
LEAST = 3
PAGES = 24
"""Pictures that the samples share."""
NONE, TWO = 0.1, 0.1
"""Shares of the questions that no expert of the pool, and that two of them, are needed for."""
DOMAIN = "open-world"


@dataclass(frozen=True, kw_only=True)
class ImaginedExpert:
    """What the router is told of an expert, and questions that it alone can answer."""

    descriptions: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OpenWorld:
    """The experts that may be trained on and those held out, by their names."""

    training: Mapping[str, ImaginedExpert]
    held_out: Mapping[str, ImaginedExpert]
    general: tuple[str, ...]
    """Questions about the picture as a whole, for which no expert is needed."""


@cache
def open_world() -> OpenWorld:
    """The experts of suites/open-world."""
    read = yaml.safe_load(EXPERTS.read_text(encoding="utf-8"))
    training, held_out = (
        {
            name: ImaginedExpert(**{key: tuple(texts) for key, texts in expert.items()})
            for name, expert in read[part].items()
        }
        for part in ("training", "held_out")
    )
    return OpenWorld(training=training, held_out=held_out, general=tuple(read["general"]))


def draw_page(rng: random.Random) -> Image.Image:
    """Any of the library's generated pictures."""
    return DRAW[rng.choice(list(DRAW))](rng)[0]


def write_pages(folder: Path, *, seed: int) -> list[Path]:
    """Neutral pages as PNG files, for many samples to share."""
    files = [folder / f"{number:02d}.png" for number in range(PAGES)]
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        draw_page(random.Random(f"open-world-page-{seed}-{file.stem}")).save(file)
    return files


def open_world_instructions(
    pages: Sequence[Path | Image.Image],
    *,
    instruction: str = INSTRUCTION,
    count: int = COUNT,
    seed: int = 0,
    turns: int = 1,
    augmented: bool = True,
) -> list[Sample]:
    """Routing instructions over the experts for training, with one of the pages each.

    augmented: every sample draws the pool's experts, their order and their descriptions, and half
    of the pools are cut to 3 to 6 of 7. Otherwise every expert has its place in a fixed pool of 7
    and one description, as in training on one real pool. turns: questions asked of each pool, one
    after the other; each is learned, and only the first is preceded by the pool. Experts take
    turns in them, so that no answer can be had from an earlier question that is alike.
    """
    experts = open_world().training
    samples = []
    for index in range(count):
        rng = random.Random(f"open-world-{seed}-{index}")
        names = list(experts)
        if augmented:
            names = rng.sample(names, rng.choice([POOL, rng.randrange(LEAST, POOL)]))
        else:
            first = rng.randrange(0, len(names), POOL)
            names = names[first : first + POOL]
        asked, waiting = [], list[str]()
        for _ in range(turns):
            if len(waiting) < 2:
                waiting = rng.sample(names, len(names))
            question, needed = _question(names, waiting, rng)
            asked.append((question, needed))
            waiting = [name for name in waiting if name not in needed]
        shown = augmented_pool(
            {name: experts[name].descriptions for name in names},
            chosen=(),
            seed=seed,
            index=index,
            augmentation=Augmentation(truncated=0.0) if augmented else UNCHANGED,
        )
        letters = expert_letters(len(shown.names))
        said: list[Turn] = []
        for question, needed in asked:
            text = question if said else routing_prompt(instruction, shown.descriptions, question)
            answer = format_routing((shown.names.index(name) for name in needed), letters)
            said += [Turn(role="user", text=text), Turn(role="assistant", text=answer)]
        samples.append(
            Sample(
                id=f"open-world-{index}",
                image=rng.choice(pages),
                turns=tuple(said),
                experts=(),
                domain=DOMAIN,
                routing=True,
            )
        )
    return samples


def _question(
    pool: Sequence[str], waiting: Sequence[str], rng: random.Random
) -> tuple[str, tuple[str, ...]]:
    """A question and the experts of the pool that it needs: one or two who wait, or none."""
    world = open_world()
    kind = rng.random()
    if kind < NONE / 2:
        return rng.choice(world.general), ()
    if kind < NONE:
        absent = rng.choice([name for name in world.training if name not in pool])
        return rng.choice(world.training[absent].questions), ()
    needed = rng.sample(waiting, 2 if kind < NONE + TWO else 1)
    return " ".join(rng.choice(world.training[name].questions) for name in needed), tuple(needed)


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("out", type=Path, help="the new file")
    parser.add_argument("--model", help="whose instruction the prompts begin with")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turns", type=int, default=1, help="questions asked of each pool")
    parser.add_argument("--no-augmentation", action="store_true", help="fixed pools of seven")
    given = parser.parse_args()
    try:
        if given.out.exists():
            raise UserError(f"{str(given.out)!r} exists already: give another file, or remove it")
        instruction = INSTRUCTION
        if given.model is not None:
            config = MovaConfig.from_pretrained(checkpoint_folder(given.model))
            instruction = config.routing.instruction
        instructions = open_world_instructions(
            write_pages(given.out.with_name(f"{given.out.stem}-images"), seed=given.seed),
            instruction=instruction,
            count=given.count,
            seed=given.seed,
            turns=given.turns,
            augmented=not given.no_augmentation,
        )
        write_llava(instructions, given.out)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

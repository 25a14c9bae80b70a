"""The visual sides that `openmova eval --suite mini` compares: `python -m studies.claims DIR`.

Needs the folder of a run of recipes/nano.sh: its trained experts, its pictures, and its encoded
images, which are made if they are not there. Says first how long it takes. What was stopped goes
on; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from openmova.checkpoints.nano import nano_parts
from openmova.errors import INTERRUPTED, UserError
from openmova.runtime.files import claim
from studies.claims.encoders import FILE, write_encoders
from studies.claims.training import (
    SEEDS,
    STEPS,
    Task,
    check_steps,
    missing,
    seconds_of_a_step,
    train_variant,
)
from studies.claims.variants import VARIANTS
from studies.toy.align import words_and_gate
from studies.toy.encoded import base_encoder, encoded_images, trained_experts
from studies.toy.pictures import gather_pictures

NANO_SEED = 1
"""Of the run of recipes/nano.sh."""


def train(
    folder: Path, nano: Path, *, names: Sequence[str], seeds: Sequence[int], steps: int
) -> None:
    """Train what is missing of these variants and seeds."""
    if not (nano / "pictures").exists():
        raise UserError(f"{str(nano)!r} is no run of recipes/nano.sh: run it first, or give --nano")
    check_steps(folder, steps)
    if not (todo := missing(folder, names, seeds)):
        print(f"all {len(names) * len(seeds)} are trained")
        return
    parts, pictures = nano_parts(), gather_pictures(nano / "pictures")
    base, experts = base_encoder(parts), trained_experts(parts, pictures, nano, NANO_SEED)
    write_encoders(base, experts, folder / FILE)
    targets, gate = words_and_gate()
    data = encoded_images(base, experts, pictures, nano, NANO_SEED)
    task = Task(data=data, targets=targets, gate=gate, steps=steps)
    needed = seconds_of_a_step(list(dict.fromkeys(name for name, _ in todo)), task)
    hours = steps * sum(needed[name] for name, _ in todo) / 3600
    print(f"{len(todo)} to train, {steps} steps each: about {hours:.1f} hours", flush=True)
    for number, (name, seed) in enumerate(todo, start=1):
        about = f"about {steps * needed[name] / 60:.0f} minutes"
        print(f"{number}/{len(todo)}  {name}, seed {seed}: {about}", flush=True)
        train_variant(folder, name, seed, task)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the variants are kept")
    parser.add_argument(
        "--nano", type=Path, default=Path("runs/nano"), help="the run of recipes/nano.sh"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME",
        help=f"of {', '.join(VARIANTS)}",
    )  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    try:
        with claim(given.folder, "give another folder"):
            train(given.folder, given.nano, names=given.only, seeds=given.seeds, steps=given.steps)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

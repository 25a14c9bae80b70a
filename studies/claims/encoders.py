"""Nano's frozen encoders as one file, so that what was trained on them is asked through them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from openmova.checkpoints.nano_spec import EXPERTS
from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.cell import CellExpert
from openmova.experts.lite import LiteEncoder
from studies.claims.variants import BASE
from studies.toy.loop import read_tensors, write_tensors

FILE = "encoders.safetensors"


def write_encoders(base: LiteEncoder, experts: Sequence[Expert], path: Path) -> None:
    """Write them, unless they are there. experts: in the order of EXPERTS.

    Raises UserError if others are there: then what was trained is of another nano.
    """
    modules = dict(zip((BASE, *EXPERTS), (base, *experts), strict=True))
    tensors = {
        f"{name}.{key}": value.clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
        if not key.startswith("neck.")  # every variant trains its own
    }
    if not path.exists():
        write_tensors(path, tensors)
        return
    there, _ = read_tensors(path)
    if any(not torch.equal(there[name], value) for name, value in tensors.items()):
        raise UserError(
            f"{str(path.parent)!r} has variants of other encoders: give another folder, or the "
            "run of recipes/nano.sh that they were trained from"
        )


def read_encoders(path: Path) -> tuple[LiteEncoder, list[Expert]]:
    """The base and the experts, frozen."""
    tensors, _ = read_tensors(path)
    base = LiteEncoder(name=BASE, descriptions=(BASE,))
    small = [CellExpert(name=name, descriptions=(name,)) for name in EXPERTS[:3]]
    picture = LiteEncoder(name=EXPERTS[3], descriptions=(EXPERTS[3],))
    for name, module in zip((BASE, *EXPERTS), (base, *small, picture), strict=True):
        prefix = f"{name}."
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        module.freeze()
    return base, [*small, picture]

"""Nano's trained weights in the form in which the repository carries them.

    python -m studies.nano.export runs/nano/joint models/nano

Writes adapter.safetensors and lora.safetensors, matrices in int8 with a scale a row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file

from openmova.checkpoints.nano import pack
from openmova.runtime.files import new_file
from studies.nano.joint import PEFT_PREFIX


def export(run: Path, carried: Path) -> None:
    """The newest of a training (studies.nano.joint) into the folder of the carried weights."""
    carried.mkdir(parents=True, exist_ok=True)
    saved = load_file(run / "newest" / "state.safetensors")
    weights = {
        name.removeprefix("weight/"): tensor
        for name, tensor in saved.items()
        if name.startswith("weight/")
    }
    adapter = {f"base.{n}": tensor for n, tensor in saved.items() if n.startswith("neck.")}
    adapter |= {f"adapter.{n}": t for n, t in weights.items() if n.startswith("summary.")}
    lora = {
        name.removeprefix(PEFT_PREFIX).replace(".default.", "."): tensor
        for name, tensor in weights.items()
        if name.startswith(PEFT_PREFIX)
    }
    for name, state in (("adapter", adapter), ("lora", lora)):
        file = carried / f"{name}.safetensors"
        with new_file(file) as unfinished:
            save_file(pack(state), unfinished)
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("carried", type=Path)
    arguments = parser.parse_args()
    export(arguments.run, arguments.carried)


if __name__ == "__main__":
    main()

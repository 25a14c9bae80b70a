"""Nano's trained weights in the form in which the repository carries them.

    python -m studies.nano.export runs/nano/joint models/nano
    python -m studies.nano.export runs/nano/joint models/nano --earlier 0.3:models/nano

Writes adapter.safetensors and lora.safetensors, matrices in int8 with a scale a row. Weights
of before, from which the training started, may be part of a mean (model soups: Wortsman et al.,
2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from openmova.checkpoints.nano import pack, unpack
from openmova.checkpoints.tensors import under
from openmova.runtime.files import new_file
from studies import new_parser
from studies.nano.joint import PEFT_PREFIX


def mean(own: dict[str, Tensor], earlier: Sequence[tuple[float, dict[str, Tensor]]]) -> None:
    """Mix earlier weights, each with its share, into our own, which keep the rest.

    A LoRA of a lower rank is padded: what its rows lack in lora_A stays ours, in lora_B it is zero.
    """
    rest = 1 - sum(share for share, _ in earlier)
    for name, tensor in own.items():
        parts = [(share, state[name]) for share, state in earlier]
        place = tuple(map(slice, parts[0][1].shape))
        mixed = rest * tensor
        if "lora_A" in name:
            mixed[len(parts[0][1]) :] = tensor[len(parts[0][1]) :]
        for share, part in parts:
            mixed[place] += share * part
        own[name] = mixed


def export(run: Path, carried: Path, earlier: Sequence[tuple[float, Path]] = ()) -> None:
    """The newest of a training (studies.nano.joint) into the folder of the carried weights.

    earlier: shares of other carried weights in a mean.
    """
    carried.mkdir(parents=True, exist_ok=True)
    saved = load_file(run / "newest" / "state.safetensors")
    weights = under("weight/", saved)
    adapter = {f"base.{n}": tensor for n, tensor in saved.items() if n.startswith("neck.")}
    adapter |= {f"adapter.{n}": t for n, t in weights.items() if n.startswith("summary.")}
    lora = {n.replace(".default.", "."): t for n, t in under(PEFT_PREFIX, weights).items()}
    for name, state in (("adapter", adapter), ("lora", lora)):
        file = carried / f"{name}.safetensors"
        others = [(share, unpack(load_file(folder / file.name))) for share, folder in earlier]
        if others:
            mean(state, others)
        with new_file(file) as unfinished:
            save_file(pack(state), unfinished)
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("carried", type=Path)
    parser.add_argument(
        "--earlier", type=_share, nargs="+", default=[], metavar="SHARE:FOLDER",
        help="Carried weights of before, and their share in a mean.",
    )  # fmt: skip
    arguments = parser.parse_args()
    export(arguments.run, arguments.carried, arguments.earlier)


def _share(text: str) -> tuple[float, Path]:
    share, _, folder = text.partition(":")
    return float(share), Path(folder)


if __name__ == "__main__":
    main()

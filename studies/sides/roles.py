"""Train a side for every set of nano's encoders, and write what it answers (docs/roles.md).

    python -m studies.sides.roles runs/sides --texts runs/nano-data/text/samples.jsonl
    openmova roles runs/sides/plain

What is done is kept: the same command goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from openmova import Mova
from openmova.analysis.masking import expert_parameters
from openmova.analysis.roles import join
from openmova.runtime.files import new_file
from studies import new_parser
from studies.nano.encode import base_encoder
from studies.sides.side import EXPERTS
from studies.sides.training import BATCH, Study, answers, new_fusion, open_study, train_side

ENCODERS = ("base", *EXPERTS)
FUSIONS = ("plain", "mova")
MOST = 8000
"""Tokens that ranks are measured on."""


def measure(
    study: Study, fusion: str, encoders: Sequence[str], seed: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `openmova roles` reads of one side, and features for its ranks."""
    torch.manual_seed(seed)
    side = train_side(study, new_fusion(study, fusion, encoders), encoders, seed)
    right = answers(side, study.data, study.test, encoders)
    told = [name for name in encoders if fusion == "plain" or name != "base"]
    pool = ENCODERS if fusion == "plain" else EXPERTS
    ranked = seed == 0 and len(told) in (1, len(pool))
    return {
        "encoders": told,
        "seed": seed,
        "answers": [
            {"id": choice.id, "domain": choice.domain, "right": one}
            for choice, one in zip(study.test, right, strict=True)
        ],
    }, features(side.fusion, study, encoders, told) if ranked else {}


@torch.no_grad()
def features(
    fusion: nn.Module, study: Study, encoders: Sequence[str], told: Sequence[str]
) -> dict[str, Tensor]:
    """Tokens of each encoder where it has something, before and after the fusion."""
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(study.test), BATCH):
        batch = study.data.batch(study.test[start : start + BATCH], encoders)
        tokens = fusion(batch.maps, batch.routing, batch.question)
        for name in told:
            before = batch.maps[name].flatten(2).mT
            there = (before != 0).any(-1)
            found.setdefault(f"before/{name}", []).append(before[there])
            found.setdefault(f"after/{name}", []).append(tokens[:, : there.shape[1]][there])
    return {key: torch.cat(parts)[:MOST].contiguous() for key, parts in found.items()}


def sets(fusion: str) -> list[tuple[str, ...]]:
    """Of encoders; the MoV-Adapter always has the base, and what the others add is asked."""
    least = 1 if fusion == "plain" else 0
    names = ENCODERS if fusion == "plain" else EXPERTS
    chosen = chain.from_iterable(combinations(names, n) for n in range(least, len(names) + 1))
    return [some if fusion == "plain" else ("base", *some) for some in chosen]


def encoder_parameters() -> dict[str, int]:
    """Of nano's encoders; an expert's files count as float32."""
    mova = Mova.from_pretrained("nano", device="cpu")
    base = sum(parameter.numel() for parameter in base_encoder().parameters())
    return {"base": base, **{name: expert_parameters(mova, name) or 0 for name in EXPERTS}}


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--texts", type=Path, required=True, help="of studies.nano.data text")
    parser.add_argument("--fusion", choices=FUSIONS, nargs="+", default=FUSIONS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    study = open_study(arguments.run, arguments.texts)
    parameters = encoder_parameters()
    for fusion in arguments.fusion:
        folder = arguments.run / fusion
        folder.mkdir(exist_ok=True)
        todo = [
            (encoders, seed)
            for seed in arguments.seeds
            for encoders in sets(fusion)
            if not (folder / f"{join(encoders)}-{seed}.json").is_file()
        ]
        for encoders, seed in tqdm(todo, desc=fusion, unit=" sides"):
            side, tokens = measure(study, fusion, encoders, seed)
            name = f"{join(encoders)}-{seed}"
            if len(side["encoders"]) == 1:
                side["parameters"] = parameters[side["encoders"][0]]
            if tokens:
                side["features"] = f"{name}.safetensors"
                with new_file(folder / side["features"]) as unfinished:
                    save_file(tokens, unfinished)
            with new_file(folder / f"{name}.json") as unfinished:
                unfinished.write_text(json.dumps(side))


if __name__ == "__main__":
    main()

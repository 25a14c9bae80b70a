"""A tokenizer of single bytes, experts with codes for it, and reading these back from a map."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from openmova.experts import build_expert
from openmova.experts.token_codes import TokenCodes, WordExpert

NANODET = Path(__file__).parents[2] / "models" / "nano" / "nanodet.onnx"
MAKE = f"python -m studies.nano.convert_nanodet {NANODET.name}"
NO_ONNX = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs openmova[onnx]")
NO_NANODET = pytest.mark.skipif(not NANODET.is_file(), reason=MAKE)
LOW = {"threshold": 0.05}  # much is seen in noise
DETECTORS = [
    pytest.param("location", LOW | {"path": str(NANODET)}, marks=[NO_ONNX, NO_NANODET]),
    pytest.param("layout", LOW, marks=NO_ONNX),
]


class SayingExpert(WordExpert):
    """Says the same of every picture; it has no weights but its codes."""

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        return sizes

    def texts(self, view: Tensor) -> list[str]:
        return ["red dogs"] * len(view)


class WeighingExpert(SayingExpert):
    """Has weights of its own, which are random at first."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.weight = torch.nn.Parameter(torch.randn(2))


def tokenizer_file(folder: Path) -> Path:
    """A tokenizer.json whose 256 tokens are the bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def embedding(seed: int = 0) -> Tensor:
    """An input embedding [256, 320] of that tokenizer's language model."""
    return torch.randn(256, 320, generator=torch.Generator().manual_seed(seed))


def word_expert(kind: str, folder: Path, **keywords: Any) -> Any:
    """An expert that says in words, in that tokenizer's codes."""
    spec = {"kind": kind, "name": kind, "descriptions": ["says"], **keywords}
    expert: Any = build_expert(spec | {"tokenizer": str(tokenizer_file(folder))})
    expert.codes.fit(embedding())
    return expert


def read_back(codes: TokenCodes, map_: Tensor) -> str:
    """The text in a map [W, h, w]: the token nearest to each code that is not zero."""
    cells = map_.flatten(1).mT
    cells = cells[cells.abs().sum(1) > 0]
    ids = torch.cdist(cells, codes(torch.arange(len(codes.table)))).argmin(1)
    text: str = codes.tokenizer.decode(ids.tolist())
    return text

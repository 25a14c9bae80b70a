"""Words in a map: a cell carries the code of one token of a language model.

The code of a token is its input embedding on the principal components of all of them, weighed by
how frequent they are, so an adapter can all but copy it to the language model's space, for words
that were never seen in training too.
A text lies in reading order and ends with a line break: row by row over the cells, a token a cell.

Shapes: V vocabulary, W width of a code, B batch, h w the map.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors
from tokenizers import Tokenizer
from torch import Tensor, nn

from openmova.errors import UserError
from openmova.experts.spec_files import FileExpert, find_file, save_file
from openmova.runtime.files import new_file

WIDTH = 256
LEVELS = 127
"""Of a code's numbers on each side of zero: the table is kept in bytes."""
CODES = "experts/{}.codes.safetensors"
"""Of a checkpoint folder: the codes of tokenizer.json are in experts/tokenizer.codes.safetensors.
Not at the top, where vLLM takes every such file for weights of the model."""


class TokenCodes(nn.Module):
    """The codes of a language model's tokens, once in memory and on disk for all experts that say
    in them.

    tokenizer: the path of its tokenizer.json, as in a spec (openmova.experts.spec_files). width: of
    a code; with the embedding's own nothing of it is lost. folder: where saved codes are looked
    for, else they are all zero until `fit`. Raises UserError if saved ones have another width.
    """

    table: Tensor
    """int8 [V, W]."""
    step: Tensor
    """float [W]: what one level of a component is worth."""

    def __init__(self, tokenizer: str, width: int = WIDTH, folder: Path | None = None) -> None:
        super().__init__()
        self.path = tokenizer
        self.file = find_file(tokenizer, folder)
        self.tokenizer = _tokenizer(self.file, self.file.stat().st_mtime_ns)
        self.codes_file = CODES.format(self.file.stem)
        size = self.tokenizer.get_vocab_size()
        if folder is not None and (saved := folder / self.codes_file).is_file():
            table, step = _codes(saved, saved.stat().st_mtime_ns)
            if table.shape != (size, width):
                raise UserError(
                    f"the codes of {str(saved)!r} are {list(table.shape)}, not [{size}, {width}]"
                )
        else:
            table, step = torch.zeros(size, width, dtype=torch.int8), torch.zeros(width)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("step", step, persistent=False)

    @torch.no_grad()
    def fit(self, embedding: Tensor) -> None:
        """Make the codes of a language model's input embedding [V or more, D], D at least W."""
        if len(embedding) < len(self.table):
            raise UserError(
                f"the embedding has {len(embedding)} rows, the tokenizer {len(self.table)} tokens: "
                "give an expert the tokenizer of its language model"
            )
        size = len(self.table)
        vectors = embedding[:size].detach().double().cpu()
        centre, directions = principal_directions(vectors, len(self.step), token_frequency(size))
        codes = ((vectors - centre) @ directions).float()
        self.step = (codes.abs().amax(0) / LEVELS).clamp(min=1e-12)
        self.table = (codes / self.step).round().to(torch.int8)

    def save(self, folder: Path) -> None:
        """Write the codes to a checkpoint folder, and the tokenizer if its path is relative.

        Raises UserError if they were neither saved nor fitted where no memory was given to them.
        """
        if self.table.is_meta:
            raise UserError(f"there is no {self.codes_file} in the folder of {str(self.file)!r}")
        save_file(self.path, self.file, folder)
        file = folder / self.codes_file
        file.parent.mkdir(exist_ok=True)
        with new_file(file) as unfinished:
            save_tensors({"table": self.table, "step": self.step.float()}, unfinished)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; a line break is one too."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def forward(self, ids: Tensor) -> Tensor:
        """long [...] -> codes [..., W]."""
        return self.table[ids].to(self.step.dtype) * self.step

    def write(
        self, texts: Sequence[str], grid: tuple[int, int], rows: Sequence[int] | None = None
    ) -> Tensor:
        """Texts as maps [B, W, *grid], in rows from the first to before the second one given.

        Other cells are zero. What does not fit is left out: the beginning of a text is kept.
        Raises UserError if there are no codes.
        """
        if not self.step.any():
            raise UserError(f"the checkpoint lacks {self.codes_file}: download it again")
        maps = self.step.new_zeros(len(texts), grid[0] * grid[1], len(self.step))
        first, end = rows or (0, grid[0])
        for cells, text in zip(maps, texts, strict=True):
            slots = cells[first * grid[1] : end * grid[1]]
            ids = torch.tensor(self.encode(f"{text}\n" if text else "")[: len(slots)])
            slots[: len(ids)] = self(ids.long().to(slots.device))
        return maps.mT.unflatten(2, grid)


@lru_cache(maxsize=2)
def _tokenizer(file: Path, _changed: int) -> Tokenizer:
    """That of a file as it is since then."""
    return Tokenizer.from_file(str(file))


@lru_cache(maxsize=2)
def _codes(file: Path, _changed: int) -> tuple[Tensor, Tensor]:
    """Table and step of a file as it is since then."""
    try:
        with torch.inference_mode(False):
            stored = load_file(file, device="cpu")
        return stored["table"], stored["step"]
    except (SafetensorError, KeyError) as error:
        raise UserError(f"{str(file)!r} holds no token codes: download it again") from error


class WordExpert(FileExpert):
    """An expert whose map carries a text in token codes, a token a cell; its beginning is kept.

    tokenizer: path of the language model's tokenizer.json; width: of a code; rows: of the grid
    which the text may fill, from the first to before the second, None: all.
    """

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        tokenizer: str,
        width: int = WIDTH,
        grid: Sequence[int] = (24, 24),
        rows: Sequence[int] | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(name=name, descriptions=descriptions, channels=width)
        self.grid, self.rows = (grid[0], grid[1]), rows
        self.codes = TokenCodes(tokenizer, width, folder)

    @abstractmethod
    def texts(self, view: Tensor) -> list[str]:
        """What there is to say of each picture of a view."""

    def forward(self, view: Tensor) -> Tensor:
        """A view of B pictures -> [B, width, *grid]: the token codes of their texts."""
        return self.write(self.texts(view)).to(view.device)

    def write(self, texts: Sequence[str]) -> Tensor:
        """Texts as maps [B, width, *grid]."""
        return self.codes.write(texts, self.grid, self.rows)

    def save_files(self, folder: Path) -> None:
        self.codes.save(folder)


def token_frequency(size: int) -> Tensor:
    """How frequent tokens are, nearly: a tokenizer numbers its merges from the commonest on."""
    return 1 / (torch.arange(size) + 100.0)


def principal_directions(vectors: Tensor, width: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Of vectors [V, D] the weighted mean [D] and the directions [D, width] of most variance, in
    float64. A direction points to where its largest entry is positive."""
    rows = vectors.detach().double().cpu()
    shares = (weights / weights.sum()).double()[:, None]
    centre = (shares * rows).sum(0)
    centred = rows - centre
    _, directions = torch.linalg.eigh(centred.mT @ (shares * centred))  # growing
    directions = directions[:, -width:].flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return centre, directions * largest.sign()

"""The router's answer at the level of tokens: scores of the letters, and constrained decoding.

Both look at what a token says, not at its id: one tokenizer writes " A" with one token, another
with two, a third has one for ", B". Shapes: B batch, V vocabulary, E experts, T generated tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

from openmova.routing.prompt import NO_EXPERT, PIECES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEPARATOR = ", "
_SPACES = str.maketrans("Ġ▁", "  ")
"""How byte-level and SentencePiece vocabularies write a leading space."""


def letter_scores(
    logits: Sequence[Tensor],
    tokenizer: PreTrainedTokenizerBase,
    letters: Sequence[str],
    active: Tensor | None = None,
) -> Tensor:
    """An expert's score: the highest probability that any step gave to the tokens of its letter.

    logits: one [B, V] for each generated step, as the model made them (`output_logits=True`).
    letters: of the E experts. active: bool [B, T], the steps that count (see `active_steps`).
    The tokens of A are those that say "A" up to spaces and commas: "A", " A", "A,", ", A"; of a
    letter that no token says, the first token of its spelling. Returns float32 [B, E], 0 to 1.
    """
    tokens = letter_tokens(tokenizer, len(tokenizer), tuple(letters))
    best = logits[0].new_zeros(len(logits[0]), len(letters), dtype=torch.float32)
    for step, step_logits in enumerate(logits):
        probabilities = step_logits.float().softmax(dim=-1)  # [B, V]
        scores = torch.stack(
            [probabilities[:, list(ids)].sum(dim=1) for ids in tokens], dim=1
        )  # [B, E]
        if active is not None:
            scores = scores * active[:, step, None]
        best = torch.maximum(best, scores)
    return best


def active_steps(new_ids: Tensor, eos_token_ids: int | Iterable[int]) -> Tensor:
    """The steps at which a row was still being written: up to and with its end token.

    new_ids: [B, T] generated ids, without the prompt. Returns bool [B, T].
    """
    ends = torch.isin(new_ids, torch.tensor(_id_list(eos_token_ids), device=new_ids.device))
    return ends.cumsum(dim=1) - ends.long() == 0


class RoutingConstraint(LogitsProcessor):
    """Lets `generate` write nothing but letters in ascending order such as "A, D", or "none".

    At most three letters, as the parser reads no more. The prompts of a batch must have one
    length (`prompt_length`: of `input_ids` with its left padding; 0 if `generate` is given
    `inputs_embeds` alone). Works with greedy search, sampling and beams; it is made anew for
    each call of `generate`. Raises ValueError if the vocabulary cannot spell the answers.
    """

    def __init__(
        self,
        *,
        tokenizer: PreTrainedTokenizerBase,
        letters: Sequence[str],
        eos_token_ids: int | Iterable[int],
        prompt_length: int,
    ) -> None:
        self.letters = tuple(letters)
        self.eos_token_ids = _id_list(eos_token_ids)
        self.prompt_length = prompt_length
        self._order = {letter: index for index, letter in enumerate(self.letters)}
        self._texts = _answer_tokens(tokenizer, len(tokenizer), self.letters)
        self._next: dict[str, list[int]] = {}
        for answer in (NO_EXPERT, *self.letters):
            if not self._spellable(answer):
                raise ValueError(
                    f"the tokenizer has no tokens to spell the routing answer {answer!r}; "
                    "turn constrained decoding off (routing.constrained: false)"
                )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Set the scores [B, V] of tokens that can't follow to minus infinity."""
        allowed = torch.full_like(scores, -torch.inf)
        written: list[list[int]] = input_ids[:, self.prompt_length :].tolist()
        for row, ids in enumerate(written):
            following = self._following(ids)
            allowed[row, following] = scores[row, following]
        return allowed

    def _following(self, ids: list[int]) -> list[int]:
        if not set(self.eos_token_ids).isdisjoint(ids):
            return self.eos_token_ids
        text = "".join(self._texts[token] for token in ids)
        if text not in self._next:
            ends = self.eos_token_ids if self._is_answer(text) else []
            self._next[text] = ends + [
                token for token, more in self._texts.items() if self._leads_on(text + more)
            ]
        return self._next[text]

    def _leads_on(self, text: str) -> bool:
        """Whether tokens exist that make an answer of this beginning."""
        if self._is_answer(text):
            return True
        if not self._is_beginning(text):
            return False
        return any(self._leads_on(text + more) for more in self._texts.values())

    def _is_beginning(self, text: str) -> bool:
        text = text.removeprefix(" ")
        if NO_EXPERT.startswith(text):
            return True
        *whole, last = text.split(SEPARATOR)
        if len(whole) >= PIECES:
            return False
        before = self._last_of(whole)
        if before is None:
            return False
        if last.endswith(","):
            here = self._last_of([*whole, last[:-1]])
            return here is not None and here + 1 < len(self.letters) and len(whole) + 1 < PIECES
        return any(letter.startswith(last) for letter in self.letters[before + 1 :])

    def _is_answer(self, text: str) -> bool:
        text = text.removeprefix(" ")
        if text == NO_EXPERT:
            return True
        pieces = text.split(SEPARATOR)
        return len(pieces) <= PIECES and self._last_of(pieces) is not None

    def _last_of(self, pieces: list[str]) -> int | None:
        """Index of the last of these letters, -1 without any; None if they don't ascend."""
        last = -1
        for piece in pieces:
            index = self._order.get(piece, -1)
            if index <= last:
                return None
            last = index
        return last

    def _spellable(self, answer: str, text: str = "") -> bool:
        return text.removeprefix(" ") == answer or any(
            self._spellable(answer, text + more)
            for more in self._texts.values()
            if answer.startswith((text + more).removeprefix(" "))
            and len(text + more) <= len(answer) + 1
        )


def _id_list(ids: int | Iterable[int]) -> list[int]:
    return [ids] if isinstance(ids, int) else list(ids)


@lru_cache(maxsize=8)
def _answer_tokens(
    tokenizer: PreTrainedTokenizerBase, size: int, letters: tuple[str, ...]
) -> dict[int, str]:
    """The tokens that may stand in a routing answer, with what they say.

    `size` is the tokenizer's, so that a token added later is found.
    """
    special = set(tokenizer.all_special_ids)
    none_parts = _substrings(f" {NO_EXPERT}")
    letter_parts = {part for letter in letters for part in _substrings(letter)}
    found = {}
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        text = token.translate(_SPACES)
        if not text or index in special:
            continue
        if text in none_parts or (
            re.fullmatch("[A-Z, ]+", text) and letter_parts.issuperset(re.findall("[A-Z]+", text))
        ):
            found[index] = text
    return found


@lru_cache(maxsize=8)
def letter_tokens(
    tokenizer: PreTrainedTokenizerBase, size: int, letters: tuple[str, ...]
) -> tuple[tuple[int, ...], ...]:
    """For each letter the tokens that say it."""
    texts = _answer_tokens(tokenizer, size, letters)
    tokens = []
    for letter in letters:
        ids = [index for index, text in texts.items() if letter in re.split("[, ]+", text)]
        spelling = tokenizer.encode(letter, add_special_tokens=False)
        tokens.append(tuple(ids or spelling[:1]))
    return tuple(tokens)


def _prefixes(text: str) -> set[str]:
    return {text[:end] for end in range(1, len(text) + 1)}


def _substrings(text: str) -> set[str]:
    return {part for start in range(len(text)) for part in _prefixes(text[start:])}

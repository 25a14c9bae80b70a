"""The router's answer at the level of tokens: scores of the letters, and constrained decoding.

Both look at what a token says, not at its id: one tokenizer writes " A" with one token, another
with two, a third has one for ", B". Shapes: B batch, V vocabulary, E experts, T generated tokens.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from openmova.routing.prompt import NO_EXPERT, PIECES, format_routing

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


class LetterPrior(LogitsProcessor):
    """Sets the log-probability of the letters of some experts in the first step of an answer.

    prior: float [B, E]; not a number where the language model's own counts. The letter's tokens
    share it as the language model has them. An answer that begins with such a letter ends there;
    everything else, and rows without a number, are the language model's.
    """

    def __init__(
        self,
        prior: Tensor,
        *,
        tokenizer: PreTrainedTokenizerBase,
        letters: Sequence[str],
        eos_token_ids: int | Iterable[int],
        prompt_length: int,
    ) -> None:
        self._prior = prior
        self._tokens = letter_tokens(tokenizer, len(tokenizer), tuple(letters))
        self._ends = _id_list(eos_token_ids)
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores [B, V] of a step with the prior."""
        written = input_ids[:, self._prompt_length :].tolist()
        if not written[0]:
            return self.first_step(scores)
        changed = scores.clone()
        for row, ids in enumerate(written):
            if self._ends and len(ids) == 1 and self._names_one(row, ids[0]):
                changed[row] = -torch.inf
                changed[row, self._ends] = scores[row, self._ends]
        return changed

    def first_step(self, scores: Tensor) -> Tensor:
        """What it makes of the scores [B, V] of the first step: log-probabilities."""
        logs = scores.float().log_softmax(dim=-1)
        for prior, ids in zip(self._prior.T, map(list, self._tokens), strict=True):
            change = (prior - logs[:, ids].logsumexp(dim=1)).nan_to_num(nan=0.0)
            logs[:, ids] += change[:, None]
        changed = ~self._prior.isnan().all(dim=1, keepdim=True)
        return torch.where(changed, logs.to(scores.dtype), scores)

    def _names_one(self, row: int, token: int) -> bool:
        """Whether the token says a letter that has a prior in this row."""
        numbers = (~self._prior[row].isnan()).tolist()
        return any(has and token in ids for has, ids in zip(numbers, self._tokens, strict=True))


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
        self._texts = answer_tokens(tokenizer, len(tokenizer), self.letters)
        self._answers, self._beginnings = _answers(self.letters)
        self._next: dict[str, list[int]] = {}
        for answer in (NO_EXPERT, *self.letters):
            if not self._leads_on("", answer):
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
            ends = self.eos_token_ids if text.removeprefix(" ") in self._answers else []
            self._next[text] = ends + [
                token for token, more in self._texts.items() if self._leads_on(text + more)
            ]
        return self._next[text]

    def _leads_on(self, text: str, answer: str | None = None) -> bool:
        """Whether tokens exist that make an answer, or this one, of this beginning."""
        written = text.removeprefix(" ")
        if written in (self._answers if answer is None else (answer,)):
            return True
        if written not in self._beginnings if answer is None else not answer.startswith(written):
            return False
        return any(self._leads_on(text + more, answer) for more in self._texts.values())


@lru_cache(maxsize=8)
def _answers(letters: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Every answer of these letters, and every beginning of one."""
    chosen = (c for n in range(PIECES + 1) for c in combinations(range(len(letters)), n))
    answers = frozenset(format_routing(experts, letters) for experts in chosen)
    return answers, frozenset(answer[:end] for answer in answers for end in range(len(answer)))


def _id_list(ids: int | Iterable[int]) -> list[int]:
    return [ids] if isinstance(ids, int) else list(ids)


@lru_cache(maxsize=8)
def answer_tokens(
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
    texts = answer_tokens(tokenizer, size, letters)
    tokens = []
    for letter in letters:
        ids = [index for index, text in texts.items() if letter in re.split("[, ]+", text)]
        spelling = tokenizer.encode(letter, add_special_tokens=False)
        tokens.append(tuple(ids or spelling[:1]))
    return tuple(tokens)


def _substrings(text: str) -> set[str]:
    ends = range(1, len(text) + 1)
    return {text[start:end] for end in ends for start in range(end)}

"""An answer while it is written: its tokens, the text that is certain so far, and why it ended."""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from openmova.errors import UserError
from openmova.inference.sampling import Sampler
from openmova.inference.schemas import SchemaGuide

Finish = Literal["stop", "length"]
"""At its own end or a stop string; or cut short by the number of tokens or the time."""
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for a character whose last bytes are still to come."""


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """When an answer ends."""

    tokens: Collection[int]
    """The model's own."""
    stops: Sequence[str] = ()
    """Strings before which the text is cut."""
    max_new_tokens: int
    deadline: float = math.inf
    """On time.perf_counter."""


@dataclass(frozen=True)
class TokenScore:
    """A token that was written, and how likely it was: the natural logarithm."""

    text: str
    log_prob: float
    likeliest: Sequence[tuple[str, float]]
    """Of its place; as many as were asked for."""


class TextStream:
    """One answer. stream: whether its text is wanted piece by piece.

    scored: how many of the likeliest tokens are wanted beside each that is written; None: no scores
    at all. guide: masks tokens that would leave a schema.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        sampler: Sampler,
        stop_rules: StopRules,
        *,
        stream: bool = False,
        scored: int | None = None,
        guide: SchemaGuide | None = None,
    ) -> None:
        self.ids: list[int] = []
        self.log_probs: list[float] = []
        self.finish: Finish | None = None
        self._tokenizer = tokenizer
        self._sampler = sampler
        self._rules = stop_rules
        self._stream = stream
        self._sent = 0
        self._scored = scored
        self._likeliest: list[list[tuple[int, float]]] = []
        self._told = 0
        self._guide = guide
        self._error: Exception | None = None

    def add(self, logits: Tensor) -> None:
        """Write the next token, from logits [V]; sets `finish` if it is the last one."""
        rules = self._rules
        if self._guide is not None:
            try:
                logits = self._guide.mask(logits)
            except UserError as error:  # this answer's fault, and not that of its company
                self._error, self.finish = error, "stop"
                return
        token = self._sampler(logits)
        self.ids.append(token)
        self.log_probs.append(float(logits[token] - logits.logsumexp(dim=-1)))
        if self._guide is not None:
            self._guide.add(token)
        if self._scored is not None:
            best = logits.log_softmax(dim=-1).topk(min(self._scored, len(logits)))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            self._likeliest.append(list(pairs))
        if token in rules.tokens or (rules.stops and self._stop_in(self._raw()) is not None):
            self.finish = "stop"
        elif len(self.ids) >= rules.max_new_tokens or time.perf_counter() >= rules.deadline:
            self.finish = "length"

    def text(self) -> str:
        """What is written, up to the first stop string, without white space at its ends."""
        if self._error is not None:
            raise self._error
        text = self._raw()
        return text[: self._stop_in(text)].strip()

    def piece(self) -> str:
        """What became certain since the last piece; together they are the text."""
        if not self._stream:
            return ""
        if self.finish is not None:
            certain = self.text()
        else:
            text = self._raw().rstrip(INCOMPLETE)
            certain = text[: len(text) - self._held(text)].strip()
        piece, self._sent = certain[self._sent :], max(self._sent, len(certain))
        return piece

    def scores(self) -> list[TokenScore]:
        """Of the tokens since the last time, but for the model's own end; none unless wanted."""
        first, self._told = self._told, len(self._likeliest)
        written = zip(self.ids, self.log_probs, self._likeliest, strict=self._scored is not None)
        return [
            TokenScore(self._word(token), score, [(self._word(t), s) for t, s in likeliest])
            for token, score, likeliest in list(written)[first:]
            if token not in self._rules.tokens
        ]

    def _word(self, token: int) -> str:
        return self._tokenizer.decode([token])

    def _raw(self) -> str:
        return self._tokenizer.decode(self.ids, skip_special_tokens=True)

    def _stop_in(self, text: str) -> int | None:
        """Where the first stop string begins."""
        places = [place for stop in self._rules.stops if (place := text.find(stop)) >= 0]
        return min(places, default=None)

    def _held(self, text: str) -> int:
        """How many characters at the end may yet turn out to begin a stop string.

        A tokenizer that tidies the space before a full stop may change the last word, too.
        """
        beginnings = (stop[:n] for stop in self._rules.stops for n in range(1, len(stop)))
        held = max((len(part) for part in beginnings if text.endswith(part)), default=0)
        if self._tokenizer.clean_up_tokenization_spaces:
            held = max(held, len(text) - len(text.rstrip().rpartition(" ")[0]))
        return held

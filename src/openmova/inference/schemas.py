"""Answers that follow a JSON schema: tokens that would leave it are masked, by llguidance.

Shapes: V vocabulary.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from openmova.errors import UserError

MAX_SCHEMA = 20_000
"""Characters."""
WRITING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python's json writes; with space at will a model may write nothing else."""


class SchemaGuide:
    """Which tokens an answer may go on with."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def copy(self) -> Self:
        """For another answer to the same question."""
        return type(self)(self._matcher.deep_copy())

    def mask(self, logits: Tensor) -> Tensor:
        """Logits [V], minus infinity for tokens that would leave the schema."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if error := self._matcher.get_error():
            raise UserError(f"the schema cannot be followed: {_first_line(error)}")
        allowed = np.zeros(len(logits), dtype=bool)
        known = np.unpackbits(bits, bitorder="little")[: len(logits)]
        allowed[: len(known)] = known
        return logits.masked_fill(torch.from_numpy(~allowed).to(logits.device), -torch.inf)

    def add(self, token: int) -> None:
        """It was written."""
        self._matcher.consume_token(token)


class SchemaCompiler:
    """Makes guides for one tokenizer; end: the tokens that end an answer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end: Sequence[int]) -> None:
        self._tokenizer: Any = None
        self._fault = ""
        try:
            from llguidance.hf import from_tokenizer

            self._tokenizer = from_tokenizer(tokenizer, eos_token=list(end) or None)
        except ImportError:
            self._fault = "this server has no llguidance: pip install 'openmova[serve]'"
        except ValueError as error:
            self._fault = f"the model's tokenizer has no bytes to follow one: {_first_line(error)}"

    def guide(self, schema: Mapping[str, Any]) -> SchemaGuide:
        """Raises UserError for a schema that is too long, none, or one that no text satisfies."""
        if self._fault:
            raise UserError(f"an answer cannot follow a JSON schema: {self._fault}")
        from llguidance import LLMatcher

        text = json.dumps(schema)
        if len(text) > MAX_SCHEMA:
            raise UserError(f"the schema has {len(text):,} characters: give at most {MAX_SCHEMA:,}")
        try:
            grammar = LLMatcher.grammar_from_json_schema(text, overrides=WRITING)
        except ValueError as error:
            raise UserError(f"the schema does not do: {_first_line(error)}") from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if told := matcher.get_error():
            raise UserError(f"the schema does not do: {_first_line(told)}")
        return SchemaGuide(matcher)


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0][:200]

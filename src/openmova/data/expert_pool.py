"""The pool that routing instructions are made for: a model's, or that of a file of descriptions.

A file of descriptions is YAML: the names of the experts in the order of their letters, each with
one or more texts; the first is what the router reads at inference, the others are paraphrases.

    ocr:
      - This model reads printed and written text.
      - A reader of words, letters and numbers.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from openmova.errors import UserError
from openmova.routing import INSTRUCTION

if TYPE_CHECKING:
    from openmova.model.configuration_mova import MovaConfig


@dataclass(frozen=True, kw_only=True)
class ExpertPool:
    """What the router is told: the instruction, and each expert's descriptions by its name."""

    instruction: str = INSTRUCTION
    descriptions: Mapping[str, Sequence[str]]
    """In the order of the letters."""

    @classmethod
    def of_model(cls, config: MovaConfig) -> ExpertPool:
        return cls(
            instruction=config.routing.instruction,
            descriptions={spec["name"]: tuple(spec["descriptions"]) for spec in config.experts},
        )

    @classmethod
    def of_file(cls, path: Path) -> ExpertPool:
        """Raises UserError if it can't be read or holds no descriptions."""
        return cls(descriptions=read_descriptions(path))

    def described_by(self, path: Path) -> ExpertPool:
        """The same experts, with the texts of a file for those that it names.

        Raises UserError if it names others.
        """
        own = read_descriptions(path)
        for name in own:
            if name not in self.descriptions:
                near = difflib.get_close_matches(name, self.descriptions, n=3) or self.descriptions
                raise UserError(
                    f"{path.name} describes {name!r}, which the model's pool has not: it has "
                    f"{', '.join(near)}"
                )
        return replace(self, descriptions={**self.descriptions, **own})


def read_descriptions(path: Path) -> dict[str, tuple[str, ...]]:
    """The descriptions of a file. Raises UserError if it can't be read or holds none."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"can't read {str(path)!r} ({error.strerror}): check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is no YAML: {error}") from error
    if not isinstance(read, dict) or not read:
        raise UserError(f"{path.name} holds no descriptions: write `name: [text, ...]` lines")
    return {_name(name, path): _texts(name, texts, path) for name, texts in read.items()}


def _name(name: Any, path: Path) -> str:
    if not isinstance(name, str):
        raise UserError(f"{path.name} names an expert {name!r}: put its name in quotes")
    return name


def _texts(name: Any, texts: Any, path: Path) -> tuple[str, ...]:
    listed = [texts] if isinstance(texts, str) else texts
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path.name} gives {name!r} no description: give a list of texts")
    for text in listed:
        if not isinstance(text, str) or not text.strip() or len(text.splitlines()) > 1:
            raise UserError(f"{path.name} describes {name!r} by {text!r}: give texts of one line")
    return tuple(text.strip() for text in listed)

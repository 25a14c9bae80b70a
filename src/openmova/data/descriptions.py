"""What the router is told of a pool: a model's, or that of a file of descriptions.

A file of descriptions is YAML: the names of the experts in the order of their letters, each with
one or more texts; the first is what the router reads at inference, the others are paraphrases.

    ocr:
      - This model reads printed and written text.
      - A reader of words, letters and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from openmova.errors import UserError, nearest
from openmova.routing import INSTRUCTION
from openmova.runtime.assets import shipped

if TYPE_CHECKING:
    from openmova.model.configuration_mova import MovaConfig


@dataclass(frozen=True, kw_only=True)
class PoolDescriptions:
    """The instruction, and each expert's descriptions by its name."""

    instruction: str = INSTRUCTION
    descriptions: Mapping[str, Sequence[str]]
    """In the order of the letters."""

    @classmethod
    def of_model(cls, config: MovaConfig) -> PoolDescriptions:
        return cls(
            instruction=config.routing.instruction,
            descriptions={spec["name"]: tuple(spec["descriptions"]) for spec in config.experts},
        )

    @classmethod
    def of_file(cls, path: Path) -> PoolDescriptions:
        """Raises UserError if it can't be read or holds no descriptions."""
        try:
            content = yaml.safe_load(shipped(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"can't read {str(path)!r} ({error.strerror}): check it") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path.name} is no YAML: {error}") from error
        if not isinstance(content, dict) or not content:
            raise UserError(f"{path.name} holds no descriptions: write `name: [text, ...]` lines")
        return cls(descriptions={name: _texts(name, t, path) for name, t in content.items()})

    def described_by(self, path: Path) -> PoolDescriptions:
        """The same experts, with the texts of a file for those that it names.

        Raises UserError if it names others.
        """
        own = PoolDescriptions.of_file(path).descriptions
        for name in own:
            if name not in self.descriptions:
                raise UserError(
                    f"{path.name} describes {name!r}, which the model's pool has not: "
                    f"{nearest(name, self.descriptions)}"
                )
        return replace(self, descriptions={**self.descriptions, **own})


def _texts(name: Any, texts: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(name, str):
        raise UserError(f"{path.name} names an expert {name!r}: put its name in quotes")
    listed = [texts] if isinstance(texts, str) else texts
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path.name} gives {name!r} no description: give a list of texts")
    for text in listed:
        if not isinstance(text, str) or not text.strip() or len(text.splitlines()) > 1:
            raise UserError(f"{path.name} describes {name!r} by {text!r}: give texts of one line")
    return tuple(text.strip() for text in listed)

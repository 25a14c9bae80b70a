"""What can be converted, found out from the source: the released MoVA, or a part to build one of.

A conversion knows its tensors and its plan before anything is written.
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

from openmova.checkpoints.encoders import SPEC_FILE, convert_encoder, read_encoder
from openmova.checkpoints.language_models import read_language_model
from openmova.checkpoints.plan import Plan, plan_names
from openmova.checkpoints.release import convert_release, read_release, source_name
from openmova.checkpoints.release_plan import is_release, plan_release
from openmova.checkpoints.tensor_file import torch_dtype
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.checkpoints.verify import verify_checkpoint
from openmova.checkpoints.writer import write_checkpoint
from openmova.errors import UserError
from openmova.runtime.hub import SMALL_FILES

CAUSAL = "ForCausalLM"
"""How transformers' names of causal language models end."""


class Conversion(ABC):
    """One source, understood. title: what it is, for people; tensors: the source's."""

    title: str
    tensors: Tensors

    @abstractmethod
    def plan(self) -> Plan:
        """What becomes of every tensor; not checked. Raises UserError for another model."""

    @abstractmethod
    def write(self, target: Path) -> dict[str, Any]:
        """Convert it into a new folder; returns the report. Raises UserError."""

    def verify(self, target: Path) -> int:
        """Compare the folder with the source; returns the number of tensors. Raises UserError."""
        plan = self.plan()
        plan.check(self.tensors)
        return verify_checkpoint(plan, self.tensors, target)


def find_conversion(
    source: Path,
    *,
    kind: str | None = None,
    name: str | None = None,
    dtype: str | None = None,
    question_tokenizer: Path | None = None,
) -> Conversion:
    """The conversion that a source asks for.

    kind, name: of one encoder, see `read_encoder`; dtype: of the floating tensors written, default
    as they are; question_tokenizer: see `convert_release`. Raises UserError for a source that is
    damaged or of no known layout.
    """
    config = _config(source)
    if config.get("model_type") == "openmova":
        raise UserError(
            f"{source.name!r} is a checkpoint of openmova already: it needs no conversion"
        )
    if (source / SPEC_FILE).is_file():
        raise UserError(f"{source.name!r} was converted already: it needs no conversion")
    tensors = open_tensors(source)
    if is_release(config, tensors.names()):
        if not source.is_dir():
            raise UserError(
                f"{source.name!r} holds the released MoVA: give its folder, which has config.json "
                "and the tokenizer"
            )
        return ReleaseConversion(source, tensors, dtype, question_tokenizer)
    if kind is None and any(str(c).endswith(CAUSAL) for c in config.get("architectures") or ()):
        return LanguageModelConversion(source, dtype)
    return EncoderConversion(source, tensors, kind, name, dtype)


class ReleaseConversion(Conversion):
    """Of the released MoVA's folder."""

    title = "the released MoVA"

    def __init__(
        self, source: Path, tensors: Tensors, dtype: str | None, question_tokenizer: Path | None
    ):
        self.tensors = tensors
        self._source, self._dtype = source, dtype
        self._question_tokenizer = question_tokenizer

    def plan(self) -> Plan:
        return read_release(self._source, self.tensors, self._dtype)[1]

    def write(self, target: Path) -> dict[str, Any]:
        return convert_release(
            self._source, target, dtype=self._dtype, question_tokenizer=self._question_tokenizer
        )


class EncoderConversion(Conversion):
    """Of one encoder's public checkpoint."""

    def __init__(
        self, source: Path, tensors: Tensors, kind: str | None, name: str | None, dtype: str | None
    ):
        self.tensors = tensors
        self._source, self._kind, self._name, self._dtype = source, kind, name, dtype
        self._parts = read_encoder(source, kind=kind, name=name)
        self.title = self._parts.title

    def plan(self) -> Plan:
        return self._parts.plan(self._dtype)

    def write(self, target: Path) -> dict[str, Any]:
        return convert_encoder(
            self._source, target, kind=self._kind, name=self._name, dtype=self._dtype
        )


class LanguageModelConversion(Conversion):
    """Of a causal language model of transformers: safetensors under its own names."""

    def __init__(self, source: Path, dtype: str | None):
        self._source, self._dtype = source, dtype
        self._parts = read_language_model(source)
        self.tensors = self._parts.tensors
        self.title = f"a language model ({self._parts.config.model_type})"

    def plan(self) -> Plan:
        parts = self._parts
        plan = plan_names(parts.tensors.names(), parts.fates, parts.expected, dtype=self._dtype)
        plan.entries = [replace(entry, name=entry.source) for entry in plan.entries]
        return plan

    def write(self, target: Path) -> dict[str, Any]:
        plan = self.plan()
        plan.check(self.tensors)
        config = self._parts.config
        if self._dtype is not None:
            config.dtype = torch_dtype(self._dtype)
        return write_checkpoint(
            plan,
            self.tensors,
            target,
            last=("config.json", config.to_json_string()),
            about={"source": source_name(self._source), "layout": self.title},
            finish=self._copy_small_files,
        )

    def _copy_small_files(self, folder: Path) -> None:
        """The tokenizer and the generation config, as they are."""
        for pattern in SMALL_FILES:
            for file in sorted(self._source.glob(pattern)):
                if file.name != "config.json" and not file.name.endswith(".index.json"):
                    shutil.copyfile(file, folder / file.name)


def plan_manifest(tensors: Tensors) -> Plan:
    """The plan of the released MoVA from names and shapes alone."""
    return plan_release(None, tensors)[1]


def _config(source: Path) -> dict[str, Any]:
    """The source's config.json, if it has one that can be read."""
    path = source / "config.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} is not readable as JSON: download it again") from error
    return content if isinstance(content, dict) else {}

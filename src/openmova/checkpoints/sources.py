"""Which conversion a source asks for: of the released MoVA, or of a part to build one of."""

from pathlib import Path

from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.encoders import SPEC_FILE, encoder_conversion
from openmova.checkpoints.language_models import language_model_conversion
from openmova.checkpoints.release import has_release_keys, release_conversion
from openmova.checkpoints.source_files import is_release, optional_json
from openmova.checkpoints.tensors import open_tensors
from openmova.errors import UserError

CAUSAL = "ForCausalLM"
"""How transformers' names of causal language models end."""


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
    as they are; question_tokenizer: see `release_conversion`.
    """
    config = optional_json(source / "config.json")
    if config.get("model_type") == "openmova":
        raise UserError(
            f"{source.name!r} is a checkpoint of openmova already: it needs no conversion"
        )
    if (source / SPEC_FILE).is_file():
        raise UserError(f"{source.name!r} was converted already: it needs no conversion")
    tensors = open_tensors(source)
    if is_release(config) or has_release_keys(tensors):
        if not source.is_dir():
            raise UserError(
                f"{source.name!r} holds the released MoVA: give its folder, which has config.json "
                "and the tokenizer"
            )
        return release_conversion(
            source, tensors, dtype=dtype, question_tokenizer=question_tokenizer
        )
    if kind is None and any(str(c).endswith(CAUSAL) for c in config.get("architectures") or ()):
        return language_model_conversion(source, dtype=dtype)
    return encoder_conversion(source, kind=kind, name=name, dtype=dtype)

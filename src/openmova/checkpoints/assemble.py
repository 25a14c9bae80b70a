"""A MoVA from public parts: language model, base encoder, experts and text encoder as they are
published, and a fresh adapter that is still to be trained (paper, section 3.1).

Parts are streamed tensor by tensor into the new folder; only the adapter is built.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.random import fork_rng
from transformers import PreTrainedConfig

from openmova.checkpoints.conversion import Conversion, save_all
from openmova.checkpoints.encoder_layouts import BERT
from openmova.checkpoints.encoders import EncoderParts, is_own_encoder, own_kind, read_encoder
from openmova.checkpoints.language_models import (
    plain_tokenizer,
    read_generation_config,
    read_language_model,
    read_tokenizer,
)
from openmova.checkpoints.locate import EMBEDDED, checkpoint_folder, is_release_on_hub
from openmova.checkpoints.plan import Part, expert_place, join_parts
from openmova.checkpoints.recipe import FROM_SOURCE, EncoderEntry, Recipe
from openmova.checkpoints.templates import TEMPLATES
from openmova.checkpoints.tensors import Tensors
from openmova.errors import UserError
from openmova.experts.hf import hf_spec
from openmova.experts.registry import build_expert
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.runtime import hub

BASE, ADAPTER, GATE = "model.base.", "model.adapter.", "model.gate_text_encoder."
EMBEDDING = "model.language_model.embed_tokens.weight"
HF_CHANGES = ("descriptions", "size", "mean", "std", "select_layer")


def fetch(recipe: Recipe, *, yes: bool = False) -> Recipe:
    """The same recipe with every source on this machine; what has to be asked comes first.

    yes: where a part is of the released MoVA on the hub, don't ask before it is fetched.
    """
    for source in {entry.source: None for entry in (recipe.base, *recipe.experts)}:
        if is_release_on_hub(source):
            checkpoint_folder(source, yes=yes)

    return replace(
        recipe,
        language_model=str(local(recipe.language_model)),
        gate_text_encoder=str(local(recipe.gate_text_encoder)),
        base=fetch_encoder(recipe.base, yes=yes),
        experts=tuple(fetch_encoder(entry, yes=yes) for entry in recipe.experts),
    )


def fetch_encoder(entry: EncoderEntry, *, yes: bool = False) -> EncoderEntry:
    """The same encoder with its source on this machine."""
    try:
        return replace(entry, source=entry.source and str(local(entry.source, yes=yes)))
    except UserError as error:
        raise UserError(f"{entry.name}: {error}") from error


def local(source: str, *, yes: bool = False) -> Path:
    """A part as a file or folder here; the released MoVA of the hub is converted on the way."""
    if source == EMBEDDED or is_release_on_hub(source):
        return checkpoint_folder(source, yes=yes)
    return hub.source_path(source)


def plan_assembly(recipe: Recipe, here: Recipe) -> tuple[Conversion, MovaConfig]:
    """Look at every part and join them, without reading their weights.

    recipe: as it was given, for the report; here: with sources on this machine.
    """
    language_folder, text_folder = Path(here.language_model), Path(here.gate_text_encoder)
    language_config, language = read_language_model(language_folder)
    tokenizer = read_tokenizer(language_folder, here.image_token)
    template = TEMPLATES.get(here.template, tokenizer.chat_template)
    if not template:
        raise UserError(
            f"{language_folder.name} has no chat template: name one in the recipe's template, such "
            f"as {' or '.join(TEMPLATES)}"
        )
    text = read_encoder(text_folder, kind=BERT)
    places = {place: key for key, place in language.key_map.items()}
    embedding = language.tensors.get(places.get(EMBEDDING, ""))
    base, *experts = (find_encoder(entry, embedding) for entry in (here.base, *here.experts))
    config = recipe_config(
        here,
        language_config,
        base.spec,
        [part.spec for part in experts],
        text.spec,
        widths=[part.channels for part in (base, *experts)],
    )
    config.image_token_id = tokenizer.convert_tokens_to_ids(here.image_token)
    with fork_rng(devices=[]):
        torch.manual_seed(here.seed)
        adapter = Tensors(MoVAdapter(config.adapter).state_dict(), "a fresh adapter")
    parts: dict[str, Part] = {
        "base": base.at(BASE),
        "adapter": Part.of(adapter).at(ADAPTER),
        "gate_text_encoder": text.at(GATE),
        "language_model": language,
    }
    for part in experts:
        parts[f"experts/{part.spec['name']}"] = part.at(expert_place(part.spec["name"], ""))
    whole = join_parts(parts)
    plan = whole.plan(here.dtype)
    plan.check()
    processor = MovaProcessor.from_config(
        config,
        tokenizer,
        plain_tokenizer(text_folder),
        image_token=here.image_token,
        chat_template=template,
        max_side=here.max_side,
    )
    generation = read_generation_config(language_folder, tokenizer, template)

    def write_small_files(folder: Path) -> None:
        for part in (base, *experts):
            part.save_files(folder)
        save_all(folder, config, processor, generation)

    conversion = Conversion(
        title="a MoVA from parts",
        plan=plan,
        about={"recipe": json.loads(json.dumps(asdict(recipe)))},
        write_small_files=write_small_files,
    )
    return conversion, config


def find_encoder(
    entry: EncoderEntry, embedding: Tensor | None, folder: Path | None = None
) -> EncoderParts:
    """Look at an encoder whose source is on this machine.

    embedding: the language model's, for one that says in words. folder: of a checkpoint, which may
    hold their codes.
    """
    path = Path(entry.source)
    try:
        if entry.kind == "hf":
            return _of_transformers(entry, path)
        if entry.kind not in FROM_SOURCE and not (entry.source and is_own_encoder(path)):
            assert entry.kind is not None
            weights = path if entry.source else None
            return own_kind(weights, entry.kind, entry.name, entry.changes, embedding, folder)
        return read_encoder(path, kind=entry.kind, name=entry.name, changes=entry.changes)
    except UserError as error:
        raise UserError(f"{entry.name}: {error}") from error


def _of_transformers(entry: EncoderEntry, path: Path) -> EncoderParts:
    """A vision model that is run by transformers' own class."""
    if unknown := [key for key in entry.changes if key not in HF_CHANGES]:
        raise UserError(f"an expert of the kind hf takes {', '.join(HF_CHANGES)}, not {unknown[0]}")
    spec = hf_spec(path, name=entry.name, **entry.changes)
    part = Part.of(Tensors(build_expert(spec).state_dict(), file=path.name))
    del spec["source"]
    return EncoderParts(**vars(part), title="a vision model of transformers", kind="hf", spec=spec)


def recipe_config(
    recipe: Recipe,
    language: PreTrainedConfig,
    base: dict[str, Any],
    experts: list[dict[str, Any]],
    text: Mapping[str, Any],
    *,
    widths: Sequence[int],
) -> MovaConfig:
    """The whole configuration, of the language model's, the encoders' specs and the text encoder's
    fields. widths: the channels of base and experts.
    """
    base_width, *channels = widths
    sizes = dict(recipe.adapter)
    if "grid" not in sizes:
        if "size" not in base or "patch" not in base:
            raise UserError(
                "the recipe lacks adapter.grid: rows and columns of the base encoder's map"
            )
        sizes["grid"] = [base["size"] // base["patch"]] * 2
    try:
        adapter = AdapterConfig(
            **sizes,
            width=base_width,
            expert_channels=tuple(channels),
            text_width=text["hidden_size"],
            output_width=language.hidden_size,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"the recipe's adapter: {error}") from error
    return MovaConfig(
        text_config=language,
        base=base,
        experts=experts,
        adapter=asdict(adapter),
        gate_text_config=text,
        routing=dict(recipe.routing),
        dtype=recipe.dtype,
        architectures=["MovaForConditionalGeneration"],
    )

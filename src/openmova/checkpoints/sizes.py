"""A model's config without its weights: what `doctor` and a dry run count with.

Of a recipe for `assemble`, the sizes of the paper's parts are known without a download.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, BertConfig, PreTrainedConfig

from openmova.checkpoints import mova_specs
from openmova.checkpoints.assemble import recipe_config
from openmova.checkpoints.locate import MODEL_TYPE, checkpoint_config, checkpoint_folder
from openmova.checkpoints.memory import unloaded_expert
from openmova.checkpoints.recipe import EncoderEntry, Recipe
from openmova.checkpoints.release import read_release
from openmova.checkpoints.source_files import is_release
from openmova.checkpoints.tensors import open_tensors
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.runtime import hub

RELEASE = "zongzhuofan/llama3-mova-8b"
"""The released MoVA-8B."""
RECIPE_ENDINGS = (".yaml", ".yml")
KNOWN_CONFIGS: dict[str, dict[str, Any]] = {
    "lmsys/vicuna-7b-v1.5": mova_specs.VICUNA_7B,
    "meta-llama/Meta-Llama-3-8B-Instruct": mova_specs.LLAMA3_8B,
    "NousResearch/Nous-Hermes-2-Yi-34B": mova_specs.YI_34B,
    "google-bert/bert-large-uncased": {"model_type": "bert", **mova_specs.BERT_LARGE},
}
"""Of the paper's language models and text encoder, by their repositories."""


def find_config(model: str) -> tuple[MovaConfig, Path | None]:
    """The config of a model and its folder, if it has one of our layout.

    model: what `checkpoint_folder` takes, a folder with a config.json alone, or a recipe for
    `openmova assemble`. Of a repository nothing but the config is fetched; the release's own is
    known.
    """
    folder = Path(model).expanduser()
    if is_recipe(model):
        return planned_config(Recipe.load(folder)), None
    is_here = folder.is_dir()
    stated = checkpoint_config(folder) if is_here else {}
    if is_release(stated):
        return read_release(folder, open_tensors(folder))[0], None
    if not is_here and model == RELEASE:
        return MovaConfig(**mova_specs.mova_8b()), None
    if not is_here and hub.HUB_ID.fullmatch(model):
        return MovaConfig.from_pretrained(hub.download(model, ["config.json"])), None
    if stated.get("model_type") != MODEL_TYPE:
        folder = checkpoint_folder(model)
    return MovaConfig.from_pretrained(folder), folder


def is_recipe(model: str) -> bool:
    """Whether it is the file of a recipe for `assemble`, not a model."""
    return model.endswith(RECIPE_ENDINGS) and not Path(model).expanduser().is_dir()


def planned_config(recipe: Recipe) -> MovaConfig:
    """Of the model that a recipe would be assembled to; its parts need not be here."""
    language, gate = _config(recipe.language_model), _config(recipe.gate_text_encoder)
    if not isinstance(gate, BertConfig):
        raise UserError(
            f"{recipe.gate_text_encoder} is a {gate.model_type}, not a BERT: give another"
        )
    experts = [_spec(entry, mova_specs.EXPERTS) for entry in recipe.experts]
    base = _spec(recipe.base, {"clip": mova_specs.CLIP})
    widths = [unloaded_expert(spec).channels for spec in (base, *experts)]
    config = recipe_config(recipe, language, base, experts, gate.to_dict(), widths=widths)
    config.image_token_id = language.vocab_size  # of a token that would be added
    return config


def _spec(entry: EncoderEntry, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    spec = known.get(entry.name)
    if spec is None or entry.kind != spec["kind"]:
        raise UserError(
            f"the size of the encoder {entry.name} is not known without its files: assemble the "
            "recipe first, and give the model's folder"
        )
    return {**spec, "name": entry.name, **entry.changes}


def _config(source: str) -> PreTrainedConfig:
    if source in KNOWN_CONFIGS:
        return AutoConfig.for_model(**KNOWN_CONFIGS[source])
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = hub.download(source, ["config.json"])
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{source} has no config that transformers knows: give another") from error

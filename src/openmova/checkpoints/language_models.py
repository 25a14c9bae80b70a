"""Any causal language model of transformers as the decoder of a MoVA: its tensors under our names.

Transformers loads it, which also renames and joins what the class has otherwise; the tensors lie in
the checkpoint's files, mapped.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from openmova.checkpoints.conversion import Conversion, save_all
from openmova.checkpoints.encoder_layouts import recomputed
from openmova.checkpoints.plan import Drop, Part
from openmova.checkpoints.source_files import source_name
from openmova.checkpoints.tensors import Tensors, open_tensors, torch_dtype
from openmova.errors import UserError, reason
from openmova.runtime.hub import SMALL_FILES

DECODER = "model.language_model."
HEAD = "lm_head.weight"
TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>")
"""Tokens that end an answer where a chat template writes them."""


def language_model_conversion(source: Path, *, dtype: str | None = None) -> Conversion:
    """Of a language model alone, into safetensors under its own names.

    dtype: of the floating tensors, default as they are.
    """
    config, part = read_language_model(source)
    plan = part.plan(dtype)
    plan.entries = [replace(entry, name=entry.source) for entry in plan.entries]
    if dtype is not None:
        config.dtype = torch_dtype(dtype)

    def write(folder: Path) -> None:
        """The config, and the tokenizer and the generation config as they are."""
        for pattern in SMALL_FILES:
            for file in sorted(source.glob(pattern)):
                if not file.name.endswith(".index.json"):
                    shutil.copyfile(file, folder / file.name)
        save_all(folder, config)

    title = f"a language model ({config.model_type})"
    return Conversion(
        title=title,
        plan=plan,
        about={"source": source_name(source), "layout": title},
        write_small_files=write,
    )


def read_language_model(folder: Path) -> tuple[PreTrainedConfig, Part]:
    """Find out what a folder of a causal language model holds; the places are those of a MoVA's."""
    config = _config(folder)
    with torch.device("meta"):
        head = AutoModelForCausalLM.from_config(config).get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.bias is not None:
        raise UserError(
            f"{folder.name}: the head of this language model ({config.model_type}) has a bias or "
            "is no linear layer, which a MoVA's has not: take another language model"
        )
    sizes = open_tensors(folder).sizes  # a damaged file is told by its name
    model = _load(folder)
    state, head = model.state_dict(), model.get_output_embeddings()
    (head_name,) = {name for name, module in model.named_modules() if module is head}
    prefix = f"{model.base_model_prefix}."
    key_map: dict[str, str | Drop] = {key: DECODER + key.removeprefix(prefix) for key in state}
    tied = config.tie_word_embeddings
    key_map[f"{head_name}.weight"] = Drop("tied to the embedding") if tied else HEAD
    part = Part(
        tensors=Tensors(state, folder.name, sizes),
        key_map=key_map,
        expected={place: state[key] for key, place in key_map.items() if isinstance(place, str)},
    )
    return config, part


def read_tokenizer(folder: Path, image_token: str) -> PreTrainedTokenizerBase:
    """The language model's tokenizer with an image token, and with some token to pad with."""
    tokenizer = plain_tokenizer(folder)
    if tokenizer.convert_tokens_to_ids(image_token) in (None, tokenizer.unk_token_id):
        tokenizer.add_tokens([image_token], special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def plain_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A folder's tokenizer as it is. Raises UserError if there is none."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"{folder.name} has no tokenizer that can be read ({reason(error)}): the folder "
            "needs its tokenizer files"
        ) from error


def read_generation_config(
    folder: Path, tokenizer: PreTrainedTokenizerBase, chat_template: str
) -> GenerationConfig:
    """Greedy, ending where the language model ends or where the template ends a turn."""
    ends: list[int] = []
    if (folder / "generation_config.json").is_file():
        stated = GenerationConfig.from_pretrained(folder).eos_token_id
        ends += stated if isinstance(stated, list) else [stated]
    ends.append(tokenizer.eos_token_id)
    vocabulary = tokenizer.get_vocab()
    ends += [vocabulary[t] for t in TURN_ENDS if t in vocabulary and t in chat_template]
    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(dict.fromkeys(end for end in ends if end is not None)),
        pad_token_id=tokenizer.pad_token_id,
    )


def _config(folder: Path) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder.name} holds no language model that transformers knows "
            f"({reason(error)}): give the folder of one"
        ) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.get_text_config() is not config:
        raise UserError(
            f"{folder.name} holds a {config.model_type}, which is no plain causal language model: "
            "give the folder of one"
        )
    if vars(config).get("quantization_config") is not None:
        raise UserError(
            f"{folder.name} is quantised already: give the model in full precision; openmova "
            "quantises when it loads"
        )
    return config


def _load(folder: Path) -> PreTrainedModel:
    """The model as transformers loads it, in the dtype of its checkpoint."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the language model in {folder.name} can't be loaded ({reason(error)}): "
            "download it again"
        ) from error
    unknown = [key for key in info["unexpected_keys"] if not recomputed(key)]
    for fault, keys in (("lacks", info["missing_keys"]), ("has unknown", unknown)):
        if keys:
            raise UserError(
                f"{folder.name} {fault} weights of its language model, such as {min(keys)}: "
                "download it again"
            )
    return model

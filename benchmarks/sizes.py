"""Models for the benchmarks. But for nano their weights are random: times do not depend on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import BertTokenizer, PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.nano import IMAGE_TOKEN, nano_folder
from openmova.checkpoints.nano_spec import CHAT_TEMPLATE
from openmova.data.synthetic import SyntheticSamples
from openmova.experts.registry import build_expert
from openmova.inference.mova import Mova
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor

PARTS = ("width", "mlp", "heads", "neck", "downsample", "layers")


def thin(spec: dict[str, Any], by: int) -> dict[str, Any]:
    """An encoder's spec with so many times less width and layers, and the same view."""
    made = {key: value // by if key in PARTS else value for key, value in spec.items()}
    if "global_layers" in made:
        made["global_layers"] = [made["layers"] - 1]
    return made


def reduced(pool: int = 7, dtype: torch.dtype = torch.float32) -> Mova:
    """The adapter at full size (width 1024, 48 x 48, three blocks); all beside it is small.

    The experts are the paper's seven, over and over up to `pool`; they keep their views, and their
    widths and layers are an eighth. The base runs two layers of CLIP's. The language model and the
    gate's text encoder are nano's in shape.
    """
    full = mova_8b()
    nano = MovaConfig.from_pretrained(nano_folder())
    gate, text = nano.gate_text_config, nano.text_config
    seven, channels = full["experts"], full["adapter"]["expert_channels"]
    config = MovaConfig(
        text_config=text,
        base={**full["base"], "layers": 3},  # of which the last is not used
        experts=[
            {**thin(seven[j % 7], 8), "name": f"{seven[j % 7]['name']}-{j // 7}"}
            for j in range(pool)
        ],
        adapter={
            "text_width": gate.hidden_size,
            "output_width": text.hidden_size,
            "expert_channels": [channels[j % 7] // 8 for j in range(pool)],
        },
        gate_text_config=gate.to_dict(),
        image_token_id=0,  # the tokenizer tells
    )
    return random_mova(config, dtype=dtype)


def divided(by: int) -> MovaConfig:
    """MoVA-8B (1), or so many times less of it: widths, token counts and layers (4, 16, 64).

    Every part keeps about its share of the operations, but for the adapter's three blocks, which
    become one.
    """
    full = mova_8b()
    if by == 1:
        return MovaConfig(**full)
    text, gate, side = dict(full["text_config"]), dict(full["gate_text_config"]), math.isqrt(by)
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
        text[name] = max(text[name] // by, 1)
        gate[name] = max(gate[name] // by, 1)
    text["num_key_value_heads"] = max(text["num_key_value_heads"] // by, 1)
    text["vocab_size"] //= by
    return MovaConfig(
        text_config={**text, "bos_token_id": 0, "eos_token_id": 1},
        base=_divided(full["base"], by),
        experts=[_divided(spec, by) for spec in full["experts"]],
        adapter={
            "width": 1024 // by,
            "head_dim": min(64, 1024 // by),
            "text_width": gate["hidden_size"],
            "output_width": text["hidden_size"],
            "expert_channels": [c // by for c in full["adapter"]["expert_channels"]],
            "grid": (48 // side, 48 // side),
            "blocks": 1,
        },
        gate_text_config=gate,
        routing={"grid": (12 // side, 12 // side)},
        image_token_id=text["vocab_size"],
    )


def _divided(fields: dict[str, Any], by: int) -> dict[str, Any]:
    """An encoder's spec with so many times less width, tokens and layers."""
    side, made = math.isqrt(by), dict(fields)
    for name in PARTS:
        if name in made:
            made[name] = max(made[name] // by, 2 if name == "layers" else 1)
    if "max_patches" in made:  # a square
        made["max_patches"] = (math.isqrt(made["max_patches"]) // side) ** 2
    for name in ("size", "view_size", "table", "window", "output_grid"):
        if name in made:
            made[name] = made[name] // side
    if "size" in made:  # whole patches
        made["size"] -= made["size"] % made["patch"]
    if "global_layers" in made:
        made["global_layers"] = [made["layers"] - 1]
    if "table" in made and made["kind"] == "dinov2":
        made["table"] = made["size"] // made["patch"]
    return made


def random_model(
    config: MovaConfig, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> MovaForConditionalGeneration:
    """A model of these sizes whose random weights are made on the device, the experts' too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device), no_init_weights():
        model = MovaForConditionalGeneration(config)
        for j, spec in enumerate(config.experts):
            model.model.experts.add_module(str(j), build_expert(spec))
    torch.set_default_dtype(before)
    model.to(device, dtype)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.02)
            else:  # of a norm or a layer's scale, or else a bias
                weight.fill_(name.endswith(("weight", "lambda1")))
    return model


def random_mova(
    config: MovaConfig, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Mova:
    """The same with a processor, whose tokenizers need no files."""
    tokenizer = plain_tokenizer(config)
    config.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    model = random_model(config, device, dtype)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # a question's length is all that counts
    processor = MovaProcessor.from_config(
        config,
        tokenizer,
        BertTokenizer(vocab={word: i for i, word in enumerate(words)}),
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )
    return Mova(model, processor)


def plain_tokenizer(config: MovaConfig) -> PreTrainedTokenizerFast:
    """Bytes, and pairs of them learned from the prompts: about a token a word."""
    ends = ["<|im_start|>", "<|im_end|>", "<pad>", IMAGE_TOKEN]
    texts = [config.routing.instruction]
    texts += [text for spec in config.experts for text in spec["descriptions"]]
    texts += [message["content"] for message in SyntheticSamples(64, seed=1).record(0)["messages"]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=ends, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=[IMAGE_TOKEN],
        padding_side="left",
    )


class Script:
    """Makes a language model of random weights name experts, as a trained router would.

    While the router writes, every call of the head says the next token of the given texts. An
    answer is made of the tokenizer's tokens and does not end by itself.
    """

    def __init__(self, mova: Mova) -> None:
        self._tokenizer = mova.processor.tokenizer
        self._ids: list[list[int]] = []
        self._step: int | None = None
        mova.model.lm_head.register_forward_hook(self._say)
        route = mova.model.route

        def scripted(*given: Any, **options: Any) -> Any:
            with self.writing():
                return route(*given, **options)

        mova.model.route = scripted

    def say(self, texts: Sequence[str]) -> None:
        """From now on, these texts, row by row, and then the end."""
        self._ids = [self._tokenizer(text, add_special_tokens=False).input_ids for text in texts]

    @contextmanager
    def writing(self) -> Any:
        self._step = 0
        try:
            yield
        finally:
            self._step = None

    def _say(self, head: nn.Module, given: Any, logits: Tensor) -> Tensor:
        end = self._tokenizer.eos_token_id
        if self._step is None:
            ids = torch.arange(logits.shape[-1], device=logits.device)
            return logits.masked_fill((ids == end) | (ids >= len(self._tokenizer)), -torch.inf)
        said = [row[self._step] if self._step < len(row) else end for row in self._ids]
        self._step += 1
        ids = torch.tensor(said[: len(logits)], device=logits.device)
        return logits.scatter(-1, ids[:, None, None], 1e4)

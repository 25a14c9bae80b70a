"""The smallest MoVA: random weights, experts of a few numbers, a tokenizer of some words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertTokenizer, PreTrainedTokenizerFast

from openmova.experts import KINDS, Expert, square_view
from openmova.experts.token_codes import WordExpert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

KINDS["tiny"] = "tiny:TinyExpert"
KINDS["echo"] = "tiny:Echo"

GRID = (4, 4)
WORDS = ["<pad>", "<unk>", "<s>", "</s>", "<image>", "<user>", "<assistant>"]
WORDS += ["A", "B", "C", "none", ",", "what", "is", "this", "?", "red", "blue", "model", "pool"]
WORDS += ["question", ":", ".", "answer", "how", "many", "dogs", "cat"]
TEMPLATE = (
    "<s>{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


class TinyExpert(Expert):
    """A convolution over a small view; counts its runs and the rows that it saw."""

    def __init__(self, *, name: str, descriptions: Any, channels: int = 6, side: int = 8) -> None:
        super().__init__(name=name, descriptions=descriptions, channels=channels)
        self.side = side
        self.conv = nn.Conv2d(3, channels, 2, stride=2)
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)
        self.batches: list[int] = []

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        half = (0.5, 0.5, 0.5)
        return square_view(images, sizes, size=(self.side, self.side), mean=half, std=half)

    def forward(self, view: Tensor) -> Tensor:
        self.batches.append(len(view))
        return self.conv(view) * self.scale


class Echo(WordExpert):
    """Says the size of a picture."""

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        return sizes

    def texts(self, view: Tensor) -> list[str]:
        return [f"{height} x {width}" for height, width in view.tolist()]


def spec(name: str, **keywords: Any) -> dict[str, Any]:
    return {"kind": "tiny", "name": name, "descriptions": [f"model {name}"], **keywords}


TEXT_CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": None},
    "gemma2": {"head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "query_pre_attn_scalar": 8},
}
MORE_TEXT_CONFIGS: dict[str, dict[str, Any]] = {
    "granite": {"logits_scaling": 3.0, "embedding_multiplier": 2.0},
    "cohere": {},
}


def tiny_config(text: str = "llama", **changes: Any) -> MovaConfig:
    fields: dict[str, Any] = {
        "text_config": {
            "model_type": text,
            "vocab_size": len(WORDS),
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 256,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "pad_token_id": 0,
            **(TEXT_CONFIGS | MORE_TEXT_CONFIGS)[text],
        },
        "base": spec("base", channels=16),
        "experts": [spec("one"), spec("two", channels=5), spec("three", side=16)],
        "adapter": {
            "width": 16,
            "expert_channels": (6, 5, 6),
            "text_width": 16,
            "output_width": 16,
            "grid": GRID,
            "blocks": 2,
            "head_dim": 8,
        },
        "gate_text_config": {
            "vocab_size": 40,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 64,
        },
        "routing": {"grid": (1, 2), "max_new_tokens": 4},
        "image_token_id": 4,
    }
    return MovaConfig(**{**fields, **changes})


def tiny_model(text: str = "llama", seed: int = 0, **changes: Any) -> MovaForConditionalGeneration:
    """A model with random weights everywhere, also where the adapter starts at zero."""
    torch.manual_seed(seed)
    model = MovaForConditionalGeneration(tiny_config(text, **changes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


@contextmanager
def rows_of(model: MovaForConditionalGeneration) -> Iterator[list[tuple[int, int]]]:
    """The shapes [R, P] that the decoder runs on."""
    shapes: list[tuple[int, int]] = []

    def note(_: Any, args: Any, kwargs: Any) -> None:
        shapes.append(tuple(kwargs["inputs_embeds"].shape[:2]))

    with model.model.language_model.register_forward_pre_hook(note, with_kwargs=True):
        yield shapes


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    words = models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        chat_template=TEMPLATE,
        padding_side="left",
    )


def toy_tokenizer(
    vocabulary: dict[str, int], *, bos_token_id: int = 1, adds_bos: bool
) -> PreTrainedTokenizerFast:
    """Words and newlines to these ids; "<bos>" stands for bos, and so does an unknown word.

    adds_bos: whether bos comes before every text. "<pad>" and "<image>" have ids beyond all others.
    """
    free = max(bos_token_id, *vocabulary.values()) + 1
    words = {**vocabulary, "<bos>": bos_token_id, "<pad>": free, "<image>": free + 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<bos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|\S+"), "removed", invert=True)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", bos_token_id)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )


def tiny_question_tokenizer() -> BertTokenizer:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["what", "is", "this", "?", "question", "0", ":"],
    ]
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)})


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Random pictures of different sizes."""
    random = np.random.RandomState(seed)
    shapes = [(12 + 5 * i, 20 - 3 * i % 17, 3) for i in range(count)]
    return [
        Image.fromarray(random.randint(0, 256, shape, dtype=np.uint8), "RGB") for shape in shapes
    ]


def image_inputs(count: int, seed: int = 0) -> dict[str, Tensor]:
    """pixel_values padded to the largest, and image_sizes."""
    arrays = [torch.from_numpy(np.array(p)).movedim(-1, 0) for p in pictures(count, seed)]
    sizes = torch.tensor([a.shape[1:] for a in arrays])
    height, width = sizes.amax(dim=0).tolist()
    padded = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    for row, a in zip(padded, arrays, strict=True):
        row[:, : a.shape[1], : a.shape[2]] = a
    device = torch.get_default_device()
    return {"pixel_values": padded.to(device), "image_sizes": sizes.to(device)}

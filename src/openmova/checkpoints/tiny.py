"""A whole MoVA of a few thousand random weights, for tests and for trying out training.

It has every part of the method, three experts named as nano's, and a tokenizer of bytes; it needs
no download and knows nothing.
"""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertTokenizer, GenerationConfig, PreTrainedTokenizerFast

from openmova.checkpoints.nano_spec import DESCRIPTIONS, INSTRUCTION
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor

WIDTH = 32
GRID = (8, 8)
SPECIAL = ("<pad>", "<end>", "<image>", "<user>", "<assistant>")
TEMPLATE = (
    "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
EXPERT_WIDTHS = {"text": 24, "chart": 16, "location": 16}


def tiny_mova(seed: int = 0) -> tuple[MovaForConditionalGeneration, MovaProcessor]:
    """The model, in float32 with all experts built, and its processor: a function of the seed."""
    tokenizer = _tokenizer()
    config = _config(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MovaForConditionalGeneration(config)
        for j in range(len(config.experts)):
            model.model.experts.get(j)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.tokenizer = tokenizer
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(i) for i in range(33, 127))]
    words += [f"##{chr(i)}" for i in range(33, 127)]
    questions = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    return model, MovaProcessor.from_config(config, tokenizer, questions, max_side=128)


def _config(tokenizer: PreTrainedTokenizerFast) -> MovaConfig:
    sizes = {"layers": 1, "heads": 2, "mlp": 32, "patch": 8, "size": 64, "view_size": 64}
    experts = [
        {"kind": "vit", "name": name, "descriptions": list(DESCRIPTIONS[name]), "width": width}
        | sizes
        for name, width in EXPERT_WIDTHS.items()
    ]
    return MovaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        base={
            "kind": "clip",
            "name": "base",
            "descriptions": ["This model sees the picture as a whole."],
            "width": WIDTH,
            "layers": 2,
            "heads": 2,
            "mlp": 2 * WIDTH,
            "patch": 8,
            "size": 8 * GRID[0],
        },
        experts=experts,
        adapter={
            "width": WIDTH,
            "expert_channels": tuple(EXPERT_WIDTHS.values()),
            "text_width": WIDTH,
            "output_width": WIDTH,
            "grid": GRID,
            "blocks": 2,
            "head_dim": 16,
        },
        gate_text_config={
            "vocab_size": 200,
            "hidden_size": WIDTH,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 2 * WIDTH,
            "max_position_embeddings": 256,
        },
        routing={"grid": (2, 2), "instruction": INSTRUCTION, "max_new_tokens": 8},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<end>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        chat_template=TEMPLATE,
        padding_side="left",
    )

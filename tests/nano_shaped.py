"""A model of random weights with nano's pool and the widths that its visual sides are made for."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig

from openmova.checkpoints import tiny
from openmova.checkpoints.nano_spec import (
    DESCRIPTIONS,
    EXPERTS,
    TOKEN_GRID,
    adapter_config,
)
from openmova.experts.cell import CellExpert
from openmova.experts.lite import LiteEncoder
from openmova.inference.mova import Mova
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from studies.claims.encoders import FILE, write_encoders
from studies.claims.training import built, variant_file
from studies.toy.align import Encoded
from studies.toy.loop import write_tensors
from studies.toy.synthetic import Fact

CHANNELS = adapter_config().expert_channels


def nano_shaped() -> Mova:
    """Its language model takes nano's image tokens, and its router knows nano's four experts."""
    model, processor = tiny.tiny_mova()
    fields = model.config.to_dict()
    config = MovaConfig(
        text_config={**fields["text_config"], "hidden_size": 576, "head_dim": 32},
        gate_text_config={**fields["gate_text_config"], "hidden_size": 384},
        base=fields["base"],
        experts=[
            {"kind": "cell", "name": n, "descriptions": list(d), "size": 64, "channels": 16}
            for n, d in DESCRIPTIONS.items()
        ],
        adapter={
            **fields["adapter"],
            "expert_channels": (16,) * len(EXPERTS),
            "text_width": 384,
            "output_width": 576,
            "token_grid": TOKEN_GRID,
        },
        routing={**fields["routing"], "grid": (2, 4)},
        image_token_id=model.config.image_token_id,
    )
    torch.manual_seed(0)
    made = MovaForConditionalGeneration(config)
    made.generation_config = GenerationConfig(
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    fitting = MovaProcessor.from_config(
        config, processor.tokenizer, processor.question_tokenizer, max_side=128
    )
    return Mova(made, fitting)


def random_encoded(count: int, seed: int = 0) -> Encoded:
    """What encoders might say of so many images, of nano's domains in turn."""
    random = torch.Generator().manual_seed(seed)
    colour = Fact(kind="highest_colour", slots={}, answer="red", experts=("chart",))
    kind = Fact(kind="kind", slots={}, answer="chart", experts=())
    return Encoded(
        base=torch.randn(count, 320, 7, 7, generator=random).bfloat16(),
        maps=[torch.randn(count, c, 14, 14, generator=random).bfloat16() for c in CHANNELS],
        cells=torch.randint(0, 9, (count, *TOKEN_GRID), generator=random),
        facts=[[colour, kind]] * count,
        domains=[EXPERTS[i % len(EXPERTS)] for i in range(count)],
    )


def write_untrained(folder: Path, names: list[str], seeds: list[int]) -> Path:
    """A folder of variants, of random encoders, that learned nothing."""
    torch.manual_seed(0)
    small = [CellExpert(name=name, descriptions=(name,)) for name in EXPERTS[:3]]
    picture = LiteEncoder(name=EXPERTS[3], descriptions=(EXPERTS[3],))
    write_encoders(
        LiteEncoder(name="base", descriptions=("base",)), [*small, picture], folder / FILE
    )
    for name in names:
        for seed in seeds:
            weights = {f"model/{n}": p.detach() for n, p in built(name, seed).named_parameters()}
            about = {"steps": "0", "batch": "32", "images": "6900", "parameters": "1000000"}
            write_tensors(variant_file(folder, name, seed), weights, **about)
    return folder

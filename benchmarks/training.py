"""What a training step costs: with the chosen experts against all, and in our trainer against none.

    python benchmarks/training.py experts                  # 3 of 7 experts a sample against all 7
    python benchmarks/training.py experts --stage pretrain --repeats 9
    python benchmarks/training.py trainer --model nano     # our trainer against a bare loop

Both are ratios of one run in which the ways take turns, so that the machine's other work meets them
alike; medians over `--repeats`. Seconds are of the processor, which is what the machine worked.

`experts` trains MoVA-8B made smaller in proportion: widths, token counts and layers are a quarter
of MoVA-8B's, so that every part takes about the same share of the operations as at full size (both
are printed; the adapter's three blocks become one). Weights are random: times do not depend
on them. Each sample has three experts drawn from the seven, or all. The language model's work is
the same in both, so the step is told without it too.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.initialization import no_init_weights

from openmova.checkpoints.mova_specs import mova_8b
from openmova.cli.console import quiet_libraries
from openmova.experts.registry import build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.answer_loss import answer_positions
from openmova.train.stages import STAGES, set_stage

WORDS = 256  # tokens of a sample's text at full size; half of them are answers
QUESTION = 32
SMALLER = 4
SEEN = ("pixel_values", "image_sizes", "question_input_ids", "question_attention_mask")


def smaller(fields: dict[str, Any]) -> dict[str, Any]:
    """An encoder's spec with a quarter of the width, of the tokens and of the layers."""
    half = 2  # a side, for a quarter of the tokens
    made = dict(fields)
    for name in ("width", "mlp", "heads", "neck", "downsample", "layers"):
        if name in made:
            made[name] = made[name] // SMALLER
    if "max_patches" in made:  # a square
        made["max_patches"] = (math.isqrt(made["max_patches"]) // half) ** 2
    for name in ("size", "view_size", "table", "window", "output_grid"):
        if name in made:
            made[name] = made[name] // half
    if "size" in made:  # whole patches
        made["size"] -= made["size"] % made["patch"]
    if "global_layers" in made:
        made["global_layers"] = [made["layers"] - 1]
    if "table" in made and made["kind"] == "dinov2":
        made["table"] = made["size"] // made["patch"]
    return made


def small_config() -> MovaConfig:
    """MoVA-8B, a quarter of it in each direction."""
    full = mova_8b()
    text = dict(full["text_config"])
    for name in (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
    ):
        text[name] //= SMALLER
    gate = dict(full["gate_text_config"])
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        gate[name] //= SMALLER
    experts = [smaller(spec) for spec in full["experts"]]
    return MovaConfig(
        text_config={**text, "bos_token_id": 0, "eos_token_id": 1},
        base=smaller(full["base"]),
        experts=experts,
        adapter={
            "width": 1024 // SMALLER,
            "text_width": gate["hidden_size"],
            "output_width": text["hidden_size"],
            "expert_channels": [c // SMALLER for c in full["adapter"]["expert_channels"]],
            "grid": (24, 24),
            "blocks": 1,
        },
        gate_text_config=gate,
        image_token_id=text["vocab_size"],
    )


def shares(config: MovaConfig, stage: str, words: int) -> dict[str, float]:
    """What part of a step's operations each part of a model has, with three average experts.

    A frozen expert goes forward only; what learns costs three forward passes, and what gradients
    only go through two.
    """
    learning = STAGES[stage]
    with torch.device("meta"), no_init_weights():
        model = MovaForConditionalGeneration(config)
        encoders = [build_expert(spec) for spec in (config.base, *config.experts)]
    adapter, text = model.model.adapter, config.text_config

    def count(work: Callable[[], Any]) -> float:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops()

    def seen(encoder: Any) -> float:
        picture = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
        view = encoder.view(picture, torch.tensor([[64, 64]]))
        return count(lambda: encoder(torch.empty_like(view, dtype=torch.float32, device="meta")))

    base, *experts = (seen(encoder) for encoder in encoders)
    tokens = adapter.config.tokens
    hidden = torch.empty(1, tokens + words, text.hidden_size, device="meta")
    x = torch.empty(1, config.adapter.grid[0] ** 2, config.adapter.width, device="meta")
    block: Any = adapter.blocks[0]
    readers = [
        count(
            lambda e=extractor, c=channels: e(
                x, torch.empty(1, x.shape[1], c, device="meta"), adapter.rotary
            )
        )
        * config.adapter.blocks
        for extractor, channels in zip(
            block.extractors, config.adapter.expert_channels, strict=True
        )
    ]
    fusing = count(lambda: block.attention(x, x, adapter.rotary)) + count(lambda: block.mlp(x))
    through = 3 if "language_model" in learning else 2
    # A ready mask: what makes one has to look at values, and here there are none.
    mask = torch.empty(1, 1, tokens + words, tokens + words, device="meta")
    decoder = count(
        lambda: model.model.language_model(
            inputs_embeds=hidden, attention_mask=mask, use_cache=False
        )
    )
    head = count(lambda: model.lm_head(hidden[:, : words // 2]))
    parts = {
        "experts (3 of 7)": sum(experts) * 3 / 7,
        "their readers in the adapter": 3 * sum(readers) * 3 / 7,
        "base": (3 if "base" in learning else 1) * base,
        "adapter, the rest": 3 * fusing * config.adapter.blocks,
        "language model": through * (decoder + head),
    }
    whole = sum(parts.values())
    all_seven = whole + (parts["experts (3 of 7)"] + parts["their readers in the adapter"]) * 4 / 3
    return {
        **{name: part / whole for name, part in parts.items()},
        "operations: all over three": all_seven / whole,
        "of that, without the language model": (all_seven - parts["language model"])
        / (whole - parts["language model"]),
    }


def batch_of(config: MovaConfig, rows: int) -> dict[str, torch.Tensor]:
    """Random samples: N image tokens, then words, the second half of which are answers."""
    tokens, words = config.adapter.tokens, WORDS // SMALLER
    ids = torch.randint(2, config.text_config.vocab_size, (rows, tokens + words))
    ids[:, :tokens] = config.image_token_id
    labels = ids.clone()
    labels[:, : tokens + words // 2] = -100
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "logits_to_keep": answer_positions(labels),
        "pixel_values": torch.randint(0, 256, (rows, 3, 336, 336), dtype=torch.uint8),
        "image_sizes": torch.tensor([[336, 336]] * rows),
        "question_input_ids": torch.randint(0, 1000, (rows, QUESTION)),
        "question_attention_mask": torch.ones(rows, QUESTION, dtype=torch.long),
    }


def experts(arguments: argparse.Namespace) -> None:
    """Time the step with three and with all experts."""
    config = small_config()
    full = shares(MovaConfig(**mova_8b()), arguments.stage, WORDS)
    own = shares(config, arguments.stage, WORDS // SMALLER)
    print(f"stage {arguments.stage}, batch {arguments.batch}, float32")
    print("| share of the operations | MoVA-8B | here |\n|---|---|---|")
    for name in full:
        print(f"| {name} | {full[name]:.2f} | {own[name]:.2f} |", flush=True)
    torch.manual_seed(0)
    model = MovaForConditionalGeneration(config)
    for j in range(7):
        model.model.experts.get(j)
    trainable = set_stage(model, arguments.stage, learning_rate=1e-5, learning_rates={})
    optimizer = torch.optim.AdamW(trainable.groups)
    model.train()
    trainable.eval_frozen()
    # Experts that see a sample, and whether the language model reads what they see.
    ways = {
        "three": (3, True),
        "all": (7, True),
        "three alone": (3, False),
        "all alone": (7, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(arguments.repeats + 1):
        batch = batch_of(config, arguments.batch)
        for name, (chosen, reads) in ways.items():
            routing = torch.rand(arguments.batch, 7).argsort(dim=1) < chosen
            began = time.process_time()
            if reads:
                loss = model(**batch, routing=routing).loss
            else:
                picture = {key: batch[key] for key in SEEN}
                loss = model.model.image_tokens(routing=routing, **picture)[0].square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if repeat:  # the first one warms up
                seconds[name].append(time.process_time() - began)
    for what, three, all_ in (
        ("a step", "three", "all"),
        ("the same without the language model", "three alone", "all alone"),
    ):
        ratios = [a / t for a, t in zip(seconds[all_], seconds[three], strict=True)]
        print(
            f"{what}: {statistics.median(seconds[three]):.2f} s with three experts a sample, "
            f"{statistics.median(seconds[all_]):.2f} s with all: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def trainer(arguments: argparse.Namespace) -> None:
    """Time the step of our trainer and of a bare loop, on the same samples."""
    from openmova.data.bad import BadSamples
    from openmova.train.dataset import TrainDataset
    from openmova.train.interrupt import Interrupt
    from openmova.train.loop import TrainingLoop, accelerator_of
    from openmova.train.preparation import prepare
    from openmova.train.progress import Progress
    from openmova.train.run_folder import RunFolder
    from openmova.train.training_recipe import recipe_from_dict

    recipe = recipe_from_dict(
        {
            "stage": arguments.stage,
            "model": arguments.model,
            "data": [{"path": "synthetic", "samples": 512}],
            "learning_rate": 2e-5,
            "steps": arguments.steps,
            "batch": arguments.batch,
            "precision": "float32",
            "save_steps": 10**6,
        }
    )

    def bare() -> list[float]:
        prepared = prepare(recipe)
        dataset = TrainDataset(prepared.mixture, prepared.collator, BadSamples())
        optimizer = torch.optim.AdamW(prepared.trainable.groups, fused=True)
        seconds = []
        for step in range(arguments.steps):
            began = time.process_time()
            rows = [dataset[step * recipe.batch + i] for i in range(recipe.batch)]
            batch = prepared.collator(rows)
            inputs = {name: v for name, v in batch.items() if isinstance(v, torch.Tensor)}
            prepared.model.train()
            prepared.trainable.eval_frozen()
            kept = answer_positions(inputs["labels"])
            prepared.model(**inputs, logits_to_keep=kept).loss.backward()
            nn.utils.clip_grad_norm_(prepared.model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.process_time() - began)
        return seconds

    def ours() -> list[float]:
        ends: list[float] = []

        class Clock(Progress):
            def advance(self) -> None:
                ends.append(time.process_time())

        with tempfile.TemporaryDirectory() as folder:
            loop = TrainingLoop(
                prepare(recipe),
                accelerator_of(recipe),
                RunFolder(Path(folder)),
                BadSamples(),
                interrupt=Interrupt(print),
            )
            clock = Clock(lambda line: None, begun=0, steps=loop.steps, samples_a_step=1, bar=False)
            loop.run(None, clock)
        return [end - begun for begun, end in pairwise(ends)]

    loops: list[float] = []
    trainers: list[float] = []
    for _ in range(arguments.repeats):
        # The first step of each warms up.
        loops.append(statistics.mean(bare()[1:]))
        trainers.append(statistics.mean(ours()))
    ratios = [t / b for t, b in zip(trainers, loops, strict=True)]
    print(
        f"{arguments.model}, stage {arguments.stage}, batch {arguments.batch}: a step takes "
        f"{statistics.median(loops):.3f} s in a bare loop, {statistics.median(trainers):.3f} s in "
        f"our trainer: {100 * (statistics.median(ratios) - 1):+.1f}% "
        f"({100 * (min(ratios) - 1):+.1f} to {100 * (max(ratios) - 1):+.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["experts", "trainer"])
    parser.add_argument("--stage", default="finetune", choices=["pretrain", "finetune", "probe"])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of trainer, in each repeat")
    parser.add_argument("--model", default="nano", help="of trainer: nano, tiny, or a folder")
    arguments = parser.parse_args()
    quiet_libraries()
    {"experts": experts, "trainer": trainer}[arguments.what](arguments)


if __name__ == "__main__":
    main()

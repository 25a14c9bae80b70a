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
import statistics
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from sizes import divided, random_model
from torch import nn
from transformers.initialization import no_init_weights

from openmova.experts.registry import build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.answer_loss import answer_positions
from openmova.train.dry_step import DryStep
from openmova.train.stages import set_stage

WORDS = 256  # tokens of a sample's text at full size; half of them are answers
QUESTION = 32
SEEN = ("pixel_values", "image_sizes", "question_input_ids", "question_attention_mask")


def step_operations(config: MovaConfig, stage: str) -> dict[str, float]:
    """Of every part for one sample, forward and backward; an expert's with what reads its map."""
    with torch.device("meta"), no_init_weights():
        model = MovaForConditionalGeneration(config)
        experts = [build_expert(spec) for spec in config.experts]
    set_stage(model, stage, learning_rate=1e-5, learning_rates={})
    step = DryStep(model, experts, bfloat16=False)
    words = words_of(config)
    parts = step.operations(tokens=config.adapter.tokens + words, answered=words // 2)
    return {part.name: float(part.total) for part in parts}


def operations(parts: Mapping[str, float], config: MovaConfig, chosen: int) -> float:
    """Of one sample that so many experts see, each as often as every other."""
    share = chosen / len(config.experts)
    return sum(n * (share if name in config.expert_names else 1) for name, n in parts.items())


def shares(config: MovaConfig, stage: str) -> dict[str, float]:
    """What part of a step's operations each part of a model has, with three average experts."""
    parts = step_operations(config, stage)
    three, all_seven = operations(parts, config, 3), operations(parts, config, 7)
    seen = sum(parts[name] for name in config.expert_names) * 3 / 7
    language = parts["language model"] + parts["head"]
    return {
        "experts (3 of 7), and the adapter's readers": seen / three,
        "base": parts["base"] / three,
        "text encoder and adapter, the rest": (parts["text encoder"] + parts["adapter"]) / three,
        "language model": language / three,
        "operations: all over three": all_seven / three,
        "of that, without the language model": (all_seven - language) / (three - language),
    }


def words_of(config: MovaConfig) -> int:
    """Tokens of a sample's text, fewer where the image tokens are fewer too."""
    return WORDS * config.adapter.tokens // 576


def batch_of(config: MovaConfig, rows: int) -> dict[str, torch.Tensor]:
    """Random samples: N image tokens, then words, the second half of which are answers."""
    tokens, words = config.adapter.tokens, words_of(config)
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


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any) -> None:
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def experts(arguments: argparse.Namespace) -> None:
    """Time the step with three and with all experts."""
    config = divided(4)
    full, own = shares(divided(1), arguments.stage), shares(config, arguments.stage)
    print(f"stage {arguments.stage}, batch {arguments.batch}, float32")
    print("| share of the operations | MoVA-8B | here |\n|---|---|---|")
    for name in full:
        print(f"| {name} | {full[name]:.2f} | {own[name]:.2f} |", flush=True)
    model = random_model(config)
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
            learn(model, optimizer, loss)
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
    from openmova.data.bad_samples import BadSamples
    from openmova.runtime.yaml_config import build
    from openmova.train.dataset import TrainDataset
    from openmova.train.interrupt import Interrupt
    from openmova.train.loop import TrainingLoop, accelerator_of
    from openmova.train.preparation import prepare
    from openmova.train.progress import Progress
    from openmova.train.run_folder import RunFolder
    from openmova.train.training_recipe import TrainingRecipe

    recipe = build(
        TrainingRecipe,
        {
            "stage": arguments.stage,
            "model": arguments.model,
            "data": [{"path": "synthetic", "samples": 512}],
            "learning_rate": 2e-5,
            "steps": arguments.steps,
            "batch": arguments.batch,
            "precision": "float32",
            "save_steps": 10**6,
        },
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
            setup, run_folder = prepare(recipe), RunFolder(Path(folder))
            loop = TrainingLoop(
                setup,
                accelerator_of(recipe),
                run_folder,
                BadSamples(),
                interrupt=Interrupt(print),
            )
            clock = Clock(setup, run_folder, lambda line: None, begun=0, trackers=(), bar=False)
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
    from openmova.cli.console import quiet_libraries  # needs packages that a bare machine lacks

    quiet_libraries()
    {"experts": experts, "trainer": trainer}[arguments.what](arguments)


if __name__ == "__main__":
    main()

"""What a training step costs: with the chosen experts against all, in our trainer against none, on
packed rows against padded ones; and whether TRL learns the same.

    python benchmarks/training.py experts                  # 3 of 7 experts a sample against all 7
    python benchmarks/training.py experts --stage pretrain --repeats 9
    python benchmarks/training.py trainer --model nano     # our trainer against a bare loop
    python benchmarks/training.py packing --batch 16       # packed rows against padded ones
    python benchmarks/training.py packing --language-model --batch 16  # image tokens given
    python benchmarks/training.py packing --batch 16 --model nano
    python benchmarks/training.py trl --steps 12           # losses of TRL's SFTTrainer beside ours

All but the last are ratios of one run in which the ways take turns, so that other work meets them
alike; medians over `--repeats`. Seconds are of the processor, which is what the machine worked.

`experts` trains MoVA-8B made smaller in proportion: widths, token counts and layers are a quarter
of MoVA-8B's, so that every part takes about the same share of the operations as at full size (both
are printed; the adapter's three blocks become one). Weights are random: times do not depend
on them. Each sample has three experts drawn from the seven, or all. The language model's work is
the same in both, so the step is told without it too.

`packing` takes lengths as in LLaVA-1.5's mix and the same model, `--smaller` times less of MoVA-8B;
or with `--model`, of generated pictures, whose image tokens follow the routing in nano.

`trl` finetunes nano on the questions of `examples` by `openmova train` and by TRL's SFTTrainer,
from the same start, on the same samples in the same order, with the same parts learning; the line
break after an answer, which TRL learns too, is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sizes import divided, random_model
from torch import nn
from transformers.initialization import no_init_weights

from openmova.experts.registry import build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.answer_loss import answer_loss, answer_positions
from openmova.train.dry_step import DryStep
from openmova.train.stages import set_stage

if TYPE_CHECKING:
    from openmova.train.training_recipe import TrainingRecipe

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


def synthetic_recipe(arguments: argparse.Namespace) -> TrainingRecipe:
    """A short run on generated pictures."""
    from openmova.runtime.yaml_config import build
    from openmova.train.training_recipe import TrainingRecipe

    recipe: TrainingRecipe = build(
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
    return recipe


def trainer(arguments: argparse.Namespace) -> None:
    """Time the step of our trainer and of a bare loop, on the same samples."""
    from openmova.data.bad_samples import BadSamples
    from openmova.train.collator import TrainDataset
    from openmova.train.interrupt import Interrupt
    from openmova.train.loop import TrainingLoop, accelerator_of
    from openmova.train.preparation import prepare
    from openmova.train.progress import Progress
    from openmova.train.run_folder import RunFolder

    recipe = synthetic_recipe(arguments)

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


def llava_batch(config: MovaConfig, rows: int) -> dict[str, torch.Tensor]:
    """Random samples of lengths as in LLaVA-1.5's mix: 576 image tokens and 50 to 1000 words, one
    in sixteen has no picture and 64 to 2048 words; in proportion where the image tokens are fewer.
    The second half of the words are answers. A picture has three of the experts."""
    image = config.adapter.tokens
    samples = []
    for _ in range(rows):
        has_picture = random.random() > 1 / 16
        least, most = (50, 1000) if has_picture else (64, 2048)
        words = math.exp(random.uniform(math.log(least), math.log(most))) * image / 576
        samples.append((image * has_picture, max(int(words), 2)))
    ids = torch.randint(2, config.text_config.vocab_size, (rows, max(map(sum, samples))))
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (before, words) in enumerate(samples):
        ids[row, :before] = config.image_token_id
        mask[row, : before + words] = 1
        answer = slice(before + words // 2, before + words)
        labels[row, answer] = ids[row, answer]
    shown = torch.tensor([before > 0 for before, _ in samples])
    pictures = batch_of(config, rows)
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": labels,
        "routing": (torch.rand(rows, 7).argsort(dim=1) < 3) & shown[:, None],
        **{name: pictures[name] for name in SEEN},
    }


def packing(arguments: argparse.Namespace) -> None:
    """Time the step on padded and on packed rows of the same samples."""
    from openmova.data.bad_samples import BadSamples
    from openmova.model.packing import SAMPLE_ATTENTION
    from openmova.train.collator import TrainDataset
    from openmova.train.preparation import prepare

    batches: list[dict[str, Any]]
    pack, size, count = arguments.pack, arguments.batch, arguments.repeats + 1
    if arguments.model is None:
        name, config = f"MoVA-8B made {arguments.smaller} times smaller", divided(arguments.smaller)
        model = random_model(config)
        trainable = set_stage(model, arguments.stage, learning_rate=1e-5, learning_rates={})
        random.seed(0)
        batches = [llava_batch(config, size) for _ in range(count)]
        if arguments.language_model:
            name = f"the language model of {name}"
            shape = (size, config.adapter.tokens, config.adapter.output_width)
            batches = [
                {k: v for k, v in batch.items() if k not in SEEN}
                | {"image_tokens": torch.randn(shape)}
                for batch in batches
            ]
        pack = pack * config.adapter.tokens // 576
    else:
        name, setup = arguments.model, prepare(synthetic_recipe(arguments))
        model, trainable = setup.model, setup.trainable
        samples = TrainDataset(setup.mixture, setup.collator, BadSamples())
        rows = [[samples[i * size + j] for j in range(size)] for i in range(count)]
        batches = [setup.collator(row) for row in rows]
    optimizer = torch.optim.AdamW(trainable.groups)
    decoder = model.model.language_model
    model.train()
    trainable.eval_frozen()
    places: list[int] = []
    tokens: list[int] = []

    def note(_: nn.Module, args: Any, inputs: Mapping[str, Any]) -> None:
        places.append(inputs["inputs_embeds"].shape[:2].numel())
        if inputs["attention_mask"] is not None:
            tokens.append(int(inputs["attention_mask"].sum()))

    decoder.register_forward_pre_hook(note, with_kwargs=True)
    padded: list[float] = []
    packed: list[float] = []
    for batch in batches:
        for limit, seconds in ((0, padded), (pack, packed)):
            decoder.set_attn_implementation(SAMPLE_ATTENTION if limit else "sdpa")
            began = time.process_time()
            learn(model, optimizer, answer_loss(model, batch, pack=limit).losses.mean())
            seconds.append(time.process_time() - began)
    ratios = [a / b for a, b in zip(padded[1:], packed[1:], strict=True)]  # the first one warms up
    speeds = [sum(tokens[1:]) / sum(way[1:]) for way in (padded, packed)]
    fills = [sum(tokens) / sum(places[way::2]) for way in (0, 1)]
    print(
        f"{name}, stage {arguments.stage}, batch {size}, rows of at most {pack}: of the places "
        f"{fills[0]:.1%} padded and {fills[1]:.1%} packed are tokens; {speeds[0]:.0f} tokens/s "
        f"padded, {speeds[1]:.0f} packed: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def trl(arguments: argparse.Namespace) -> None:
    """Finetune on the example pictures by our trainer and by TRL's, and compare the losses."""
    with tempfile.TemporaryDirectory() as folder:
        compare_with_trl(arguments, Path(folder))


def compare_with_trl(arguments: argparse.Namespace, folder: Path) -> None:
    """folder: for the data and both runs."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from openmova.data.bad_samples import BadSamples
    from openmova.data.records import write_llava
    from openmova.data.sample import Sample, Turn
    from openmova.model.processing_mova import IGNORED
    from openmova.runtime.yaml_config import build
    from openmova.train.preparation import prepare
    from openmova.train.training import train
    from openmova.train.training_recipe import TrainingRecipe

    examples = Path(__file__).resolve().parents[1] / "examples"
    asked = json.loads((examples / "questions.json").read_text(encoding="utf-8"))
    samples = [
        Sample(
            id=str(number),
            image=examples / row["image"],
            turns=(
                Turn(role="user", text=row["question"]),
                Turn(role="assistant", text=row["expected"]),
            ),
            experts=tuple(row["experts"]),
        )
        for number, row in enumerate(asked)
        if "text" not in row["experts"]  # pages take long
    ]
    write_llava(samples, folder / "data.json")
    recipe: TrainingRecipe = build(
        TrainingRecipe,
        {
            "stage": "finetune",
            "model": arguments.model,
            "data": [{"path": str(folder / "data.json")}],
            "learning_rate": 1e-5,
            "schedule": "constant_with_warmup",
            "warmup": 0,
            "steps": arguments.steps,
            "batch": arguments.batch,
            "precision": "float32",
            "log_steps": 1,
            "save_steps": 10**6,
        },
    )
    train(recipe, folder / "ours", resume=False, tell=lambda line: None)
    lines = (folder / "ours" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ours = [row["loss"] for row in map(json.loads, lines) if "loss" in row]

    setup = prepare(recipe)
    count = arguments.steps * recipe.batch
    bad, a_pass = BadSamples(), len(setup.mixture)
    rows = [
        setup.mixture.sample(*divmod(place, a_pass), bad, lambda row: row) for place in range(count)
    ]
    names = setup.model.config.expert_names
    data = Dataset.from_list(
        [
            {
                "images": [row.image],
                "prompt": [{"role": "user", "content": row.turns[0].text}],
                "completion": [{"role": "assistant", "content": row.turns[1].text}],
                "experts": list(row.experts),
            }
            for row in rows
        ]
    )
    options = SFTConfig(
        str(folder / "theirs"),
        use_cpu=True,
        bf16=False,
        max_length=None,
        max_steps=arguments.steps,
        per_device_train_batch_size=recipe.batch,
        train_sampling_strategy="sequential",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    given = {"train_dataset": data, "processing_class": setup.processor}
    collate = SFTTrainer(setup.model, options, **given).data_collator
    end = setup.processor.tokenizer.eos_token_id

    def with_experts(rows: list[dict[str, Any]]) -> dict[str, Any]:
        chosen = [[name in row["experts"] for name in names] for row in rows]
        batch = collate(rows)
        after = batch["input_ids"].roll(1, dims=1) == end  # the template's line break
        labels = batch["labels"].masked_fill(after, IGNORED)
        return {**batch, "labels": labels, "routing": torch.tensor(chosen)}

    optimizer = torch.optim.AdamW(setup.trainable.groups, fused=True)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    theirs = SFTTrainer(
        setup.model, options, **given, data_collator=with_experts, optimizers=(optimizer, constant)
    )
    theirs.train()
    losses = [row["loss"] for row in theirs.state.log_history if "loss" in row]
    for step, (one, other) in enumerate(zip(ours, losses, strict=True), start=1):
        print(f"step {step}: {one:.5f} in openmova train, {other:.5f} in TRL, {one - other:+.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["experts", "trainer", "packing", "trl"])
    parser.add_argument("--stage", default="finetune", choices=["pretrain", "finetune", "probe"])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of trainer, in each repeat; of trl")
    parser.add_argument("--model", help="of all but experts: nano, tiny, or a folder")
    parser.add_argument("--pack", type=int, default=4096, help="of packing: tokens of a row")
    parser.add_argument(
        "--language-model", action="store_true", help="of packing: image tokens given"
    )
    parser.add_argument("--smaller", type=int, default=4, choices=[4, 16, 64], help="of packing")
    arguments = parser.parse_args()
    if arguments.what in ("trainer", "trl"):
        arguments.model = arguments.model or "nano"
    from openmova.cli.console import quiet_libraries  # needs packages that a bare machine lacks

    quiet_libraries()
    ways = {"experts": experts, "trainer": trainer, "packing": packing, "trl": trl}
    ways[arguments.what](arguments)


if __name__ == "__main__":
    main()

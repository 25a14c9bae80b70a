"""What an answer costs: every stage, the experts, the pool; and the released flow beside ours.

    python benchmarks/inference.py stages --plot stages.png     # nano at batch 1, 4 and 16
    python benchmarks/inference.py stages --size reduced --batch 1 4
    python benchmarks/inference.py flow                         # against the released flow
    python benchmarks/inference.py flow --size reduced-bfloat16 # as the released code computes
    python benchmarks/inference.py pool                         # of 7, 14 and 28 experts
    python benchmarks/inference.py cold                         # from the start of a process

Each prints ratios of one run in which the ways take turns, so that the machine's other work meets
them alike: medians over `--repeats`, with the least and the most. Beside the seconds stand the
operations that were asked for, what share that is of the speed of one large product of matrices on
the same machine, and the memory that the work holds beside the weights.

Sizes: `nano`; `reduced`, whose adapter has the paper's size (width 1024, 48 x 48 places, three
blocks) between small encoders and a small language model; `8b`, MoVA-8B's shape in bfloat16, on an
accelerator only. The last two have random weights, and a script says what their router would.
`released.py` says what the released flow is. In float32 both flows must write the same first token,
or the run stops. What a training step costs is measured by training.py.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import Ways, cost, product_speed, ratio, timed, told
from PIL import Image
from released import released
from sizes import Script, divided, random_mova, reduced

from openmova.data.synthetic import SyntheticSamples
from openmova.experts.pool import expert_map
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.inference.session import Picture, user_turn
from openmova.routing.selection import ExpertSelection

WORDS = 8
"""New tokens of an answer."""
ROUTES = ("A, D", "B, E", "C, G", "A, F")
"""What the router of random weights says, row by row."""
SIZES: dict[str, Callable[[], Mova]] = {
    "nano": lambda: Mova.from_pretrained("nano"),
    "reduced": reduced,
    "reduced-bfloat16": lambda: reduced(dtype=torch.bfloat16),
    "8b": lambda: random_mova(divided(1), "cuda", torch.bfloat16),
}


def questions(count: int) -> list[tuple[Image.Image, str]]:
    """Generated pictures, each with a question about it."""
    records = [SyntheticSamples(count, seed=1).record(number) for number in range(count)]
    return [(record["image"], record["messages"][0]["content"]) for record in records]


def routes(count: int) -> list[str]:
    return [ROUTES[i % len(ROUTES)] for i in range(count)]


def where(mova: Mova) -> str:
    """ "cpu with 2 threads, float32, a product of matrices: 157 x 10^9/s"."""
    device, dtype = mova.model.device, mova.model.dtype
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return (
        f"{name} with {torch.get_num_threads()} threads, {str(dtype).removeprefix('torch.')}, "
        f"a product of matrices: {product_speed(device, dtype):.0f} x 10^9/s"
    )


def stage_ways(mova: Mova, batch: int) -> tuple[list[str], Ways]:
    """The experts that were chosen for a batch of questions, and each of its stages."""
    asked = questions(batch)
    turns = [
        [user_turn(question, [Picture.of(picture, mova.processor)])] for picture, question in asked
    ]
    inputs = mova.prepare(turns, [ExpertSelection()] * batch, GenerationLimits())
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    router = (inputs["routing_input_ids"], inputs["routing_attention_mask"])
    seen = mova.model.encode_images(inputs)
    routing = seen.chosen
    core = mova.model.model
    base_map = core.encode_base(*pictures)
    expert_maps = core.encode_experts(*pictures, routing)

    def views() -> None:
        core.base.view(*pictures)
        for j in expert_maps:
            rows = routing[:, j]
            core.experts.get(j).view(pictures[0][rows], pictures[1][rows])

    def answer(tokens: int) -> Any:
        return mova.model.generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            image_tokens=seen.tokens,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
        )

    return [", ".join(row.experts) or "none" for row in seen.routing], {
        "views, of both below": views,
        "base": lambda: core.encode_base(*pictures),
        "routing": lambda: mova.model.route(*router, base_map),
        "experts": lambda: core.encode_experts(*pictures, routing),
        "adapter": lambda: core.fuse(base_map, expert_maps, routing, *asking),
        "prefill": lambda: answer(1),
        f"prefill and {WORDS} tokens": lambda: answer(WORDS + 1),
    }


@torch.no_grad()
def stages(mova: Mova, arguments: argparse.Namespace) -> None:
    """The stages, one by one."""
    device = where(mova)
    speed = product_speed(mova.model.device, mova.model.dtype)
    script = None if arguments.size == "nano" else Script(mova)
    weights = [*mova.model.parameters(), *mova.model.buffers()]
    print(f"{arguments.size}: {device}")
    drawn: dict[int, dict[str, tuple[float, float]]] = {}
    for batch in arguments.batch or (1, 4, 16):
        if script is not None:
            script.say(routes(batch))
        chosen, ways = stage_ways(mova, batch)
        seconds = timed(ways, arguments.repeats)
        costs = {name: cost(work, weights) for name, work in ways.items()}
        print(f"\nbatch {batch}; experts: {'; '.join(chosen)}")
        print("| stage | seconds | 10^9 operations | of a product's speed | MiB |")
        print("|---|---|---|---|---|")
        for name, values in seconds.items():
            share = costs[name].operations / statistics.median(values) / speed
            print(
                f"| {name} | {told(values)} | {costs[name].operations:.1f} | {100 * share:.0f}% | "
                f"{costs[name].memory:.0f} |",
                flush=True,
            )
        drawn[batch] = {
            name: (statistics.median(values) / batch, costs[name].operations / speed / batch)
            for name, values in seconds.items()
        }
    if arguments.plot:
        draw(drawn, f"{arguments.size}: seconds a question ({device})", arguments.plot)


def draw(batches: Mapping[int, Mapping[str, tuple[float, float]]], title: str, file: Path) -> None:
    """A bar for each batch size: the stages' seconds, and beside it what their operations take at
    the speed of a product of matrices."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.9 + 0.8 * len(batches)))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = ("base", "routing", "experts", "adapter", "prefill", f"{WORDS} tokens")
    for line, found in enumerate(batches.values()):
        whole, first = found[f"prefill and {WORDS} tokens"], found["prefill"]
        parts = {**found, f"{WORDS} tokens": (whole[0] - first[0], whole[1] - first[1])}
        for limit, height in ((False, 0.4), (True, 0.2)):
            left = 0.0
            for number, name in enumerate(names):
                width = parts[name][limit]
                axes.barh(
                    line + (0.35 if limit else 0),
                    width,
                    height,
                    left,
                    color=f"C{number}",
                    alpha=0.5 if limit else 1,
                    label=None if line or limit else name,
                )
                left += width
    axes.set_yticks(range(len(batches)), [f"batch {batch}" for batch in batches])
    axes.invert_yaxis()
    axes.set_title(f"{title}\nnarrow: its operations at that speed", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=100)


def asked_by(mova: Mova, batch: Sequence[tuple[Any, str]], words: int) -> list[str]:
    """Ours: all together, routed by the model."""
    answers = mova.ask_batch(batch, max_new_tokens=words, batch_size=len(batch))
    return [answer.text for answer in answers]


def flow_seconds(
    mova: Mova, script: Script, batch: int, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of ours and of the released flow: to one question's first token ("first"), and of as
    many questions together as one by one ("many"; the released flow's are of one question)."""
    asked = questions(batch)
    script.say(routes(batch))
    first: Ways = {
        "released": lambda: released(mova, script, *asked[0], 1),
        "ours": lambda: asked_by(mova, asked[:1], 1),
    }
    mine, theirs = first["ours"]()[0], first["released"]()
    if mine != theirs and mova.model.dtype == torch.float32:
        sys.exit(f"the answers differ: {mine!r}, released {theirs!r}")
    many: Ways = {
        "ours": lambda: asked_by(mova, asked, WORDS),
        "released": lambda: released(mova, script, *asked[0], WORDS),
    }
    return {
        "first": timed(first, repeats, warm=False),
        "many": timed(many, max(repeats // 2, 1), warm=False) if batch > 1 else {},
    }


def flow(mova: Mova, arguments: argparse.Namespace) -> None:
    """Time to the first token, and questions a second, against the released flow."""
    (batch,) = arguments.batch or (16,)
    print(f"{arguments.size}: {where(mova)}; experts {ROUTES[0]}", flush=True)
    found = flow_seconds(mova, Script(mova), batch, arguments.repeats)
    first = found["first"]
    for name, values in first.items():
        print(f"time to the first token, {name}: {told(values)} s")
    print(f"ours over released: {ratio(first['ours'], first['released'])}")
    if batch == 1:
        return
    ours = [batch / s for s in found["many"]["ours"]]
    theirs = [1 / s for s in found["many"]["released"]]
    print(f"{batch} questions of {WORDS} tokens together: {told(ours)} a second")
    print(f"released, one by one: {told(theirs)} a second")
    print(f"ours over released: {ratio(ours, theirs)}")


@torch.no_grad()
def pool(arguments: argparse.Namespace) -> None:
    """Two experts chosen out of 7, 14 and 28; none and all of 7; the whole beside its parts."""
    (picture, question), *_ = questions(1)
    models = {size: reduced(size) for size in (7, 14, 28)}
    mova = models[7]
    chosen = (mova.experts[0], mova.experts[3])

    def asked(model: Mova, experts: Any) -> Callable[[], Any]:
        return lambda: model.ask(picture, question, experts=experts, max_new_tokens=WORDS)

    pools = {f"two of {size} experts": asked(model, chosen) for size, model in models.items()}
    ways = {**pools, "none": asked(mova, "none"), "all of 7": asked(mova, "all")}
    core = mova.model.model
    selection = [ExpertSelection.of(chosen, None, mova.experts)]
    turn = user_turn(question, [Picture.of(picture, mova.processor)])
    inputs = mova.prepare([[turn]], selection, GenerationLimits())
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    seen = mova.model.encode_images(inputs, selections=selection)
    routing = seen.chosen
    base_map, maps = core.encode_base(*pictures), core.encode_experts(*pictures, routing)
    parts: Ways = {
        "base": lambda: core.encode_base(*pictures),
        chosen[0]: lambda: expert_map(core.experts.get(0), *pictures),
        chosen[1]: lambda: expert_map(core.experts.get(3), *pictures),
        "adapter": lambda: core.fuse(base_map, maps, routing, *asking),
        "language model": lambda: mova.model.generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            image_tokens=seen.tokens,
            max_new_tokens=WORDS,
            do_sample=False,
        ),
    }
    print(f"reduced: {where(mova)}; the routing is given")
    seconds = timed({**ways, **parts}, arguments.repeats)
    counted = {
        name: cost(work, core.parameters()).operations for name, work in {**ways, **parts}.items()
    }
    for name, values in seconds.items():
        print(f"{name}: {told(values)} s, {counted[name]:.2f} x 10^9 operations")
    two = seconds["two of 7 experts"]
    for name in (*list(pools)[1:], "none", "all of 7"):
        print(f"{name} over two of 7: {ratio(seconds[name], two)}")
    together = [sum(turn) for turn in zip(*(seconds[name] for name in parts), strict=True)]
    print(f"an answer over the sum of its parts: {ratio(two, together)}")
    sums = sum(counted[name] for name in parts)
    print(f"the same of the operations: {counted['two of 7 experts'] / sums:.4f}")


NANO = """
import resource, time
from openmova import Mova
mova = Mova.from_pretrained("nano")
mova.ask("examples/calendar.png", "Which month does the calendar show?")
print(time.time())
began = time.time()
mova.ask("examples/calendar.png", "Which month does the calendar show?")
print(time.time() - began)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def cold(arguments: argparse.Namespace) -> None:
    """From the start of a process: the import, the help, nano's first answer and its second."""
    rows: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        for name, command in {
            "python -c pass": ["-c", "pass"],
            "import openmova": ["-c", "import openmova"],
            "openmova --help": ["-m", "openmova", "--help"],
        }.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            rows.setdefault(f"{name}, s", []).append(time.perf_counter() - began)
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-c", NANO], check=True, capture_output=True, text=True
        )
        first, second, memory = (float(line) for line in done.stdout.split()[-3:])
        rows.setdefault("nano, start to first answer, s", []).append(first - began)
        rows.setdefault("nano, next answer, s", []).append(second)
        rows.setdefault("nano, peak memory, GiB", []).append(memory)
    for name, values in rows.items():
        print(f"{name}: {told(values)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["stages", "flow", "pool", "cold"])
    parser.add_argument("--size", choices=list(SIZES), help="of stages (nano) and flow (reduced)")
    parser.add_argument("--batch", type=int, nargs="+", help="of stages, or one of flow")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a picture of the stages")
    arguments = parser.parse_args()
    from openmova.cli.console import quiet_libraries  # needs packages that a bare machine lacks

    quiet_libraries()
    alone = {"pool": pool, "cold": cold}
    if arguments.what in alone:
        return alone[arguments.what](arguments)
    arguments.size = arguments.size or {"stages": "nano", "flow": "reduced"}[arguments.what]
    if arguments.size == "8b" and not torch.cuda.is_available():
        return print("8b: skipped, there is no accelerator here")
    {"stages": stages, "flow": flow}[arguments.what](SIZES[arguments.size](), arguments)


if __name__ == "__main__":
    main()

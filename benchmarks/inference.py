"""What an answer costs: every stage, the experts, the pool; and the released flow beside ours.

    python benchmarks/inference.py stages                   # nano, batch 1, 4 and 16
    python benchmarks/inference.py flow --batch 16          # the adapter at full size
    python benchmarks/inference.py pool
    python benchmarks/inference.py cold

Each prints ratios of one run in which the ways take turns, so that the machine's other work meets
them alike: medians over `--repeats`, with the least and the most. Beside the seconds stand the
operations that were asked for (multiplications and additions, counted by torch), and what share
that is of the speed of one large matrix product on the same machine.

`stages` is of nano; `flow` and `pool` are of a model whose adapter has the paper's size (width
1024, 48 x 48 places, three blocks) and random weights, between small encoders and a small language
model. The released flow is written here by what the released code does with one question: it
prepares every encoder's view, runs the gate's text encoder and the adapter for both passes, attends
in the adapter without a fused kernel, and takes one question at a time. Both flows must write the
same answer, or the run stops.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from sizes import reduced
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from openmova.adapter import ExpertMap
from openmova.asking import Choice
from openmova.cli.console import quiet_libraries
from openmova.data.synthetic.training import SyntheticSamples
from openmova.experts.pool import expert_map
from openmova.mova import Mova
from openmova.passes import Clock, look, prepare, user_turn

CHOSEN = ("dinov2-0", "pix2struct-0")
WORDS = 8
"""New tokens of an answer."""
VIEWS = (0, 1, 3)
"""Beside the base's: the released code prepares those of DINOv2, of the 1024 pixel encoders and of
Pix2Struct for every question, which the other experts share."""

Ways = Mapping[str, Callable[[], Any]]


def timed(ways: Ways, repeats: int) -> dict[str, list[float]]:
    """Seconds of each way; they take turns, and the first turn only warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def told(values: Sequence[float]) -> str:
    """ "0.31 (0.30 to 0.33)"."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def ratio(a: Sequence[float], b: Sequence[float]) -> str:
    """How many times b's seconds a took, turn by turn."""
    return told([x / y for x, y in zip(a, b, strict=True)])


def operations(work: Callable[[], Any]) -> float:
    """In units of 10^9."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops() / 1e9


class Script:
    """Makes the language model name experts that it was not trained to name.

    While `writing`, every call of the head says the next token of the given texts, so that both
    flows take as many steps as a trained router would.
    """

    def __init__(self, mova: Mova, texts: Sequence[str]) -> None:
        tokenizer = mova.processor.tokenizer
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        if len({len(row) for row in ids}) > 1:
            raise ValueError("the texts must have as many tokens each")
        self.ids = torch.tensor(ids)
        self.end: int = tokenizer.eos_token_id
        self.step: int | None = None
        mova.model.lm_head.register_forward_hook(self._say)
        route = mova.model.route

        def scripted(*given: Any, **options: Any) -> Any:
            with self.writing():
                return route(*given, **options)

        mova.model.route = scripted

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.step = 0
        try:
            yield
        finally:
            self.step = None

    def _say(self, head: nn.Module, given: Any, logits: Tensor) -> Tensor | None:
        if self.step is None:
            return None
        ended = self.step >= self.ids.shape[1]
        said = torch.full((len(logits),), self.end) if ended else self.ids[:, self.step]
        self.step += 1
        return logits.scatter(-1, said[: len(logits), None, None], 1e4)


def questions(count: int) -> list[tuple[Image.Image, str]]:
    """Generated pictures, each with a question about it."""
    records = [SyntheticSamples(count, seed=1).record(number) for number in range(count)]
    return [(record["image"], record["messages"][0]["content"]) for record in records]


def matrix_speed() -> float:
    """10^9 operations a second of one large product of matrices."""
    a, b = torch.randn(2, 2048, 2048)
    seconds = timed({"product": lambda: a @ b}, 7)["product"]
    return 2 * 2048**3 / 1e9 / statistics.median(seconds)


def stage_ways(mova: Mova, batch: int) -> tuple[list[str], Ways]:
    """The experts that were chosen for a batch of questions, and each of its stages."""
    asked = questions(batch)
    choices = [Choice.of(None, None, mova.experts)] * batch
    turns = [[user_turn(question, picture)] for picture, question in asked]
    inputs = prepare(mova.model, mova.processor, turns, choices)
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    router = (inputs["routing_input_ids"], inputs["routing_attention_mask"])
    seen = look(mova.model, inputs, choices, Clock(mova.model.device))
    routing = torch.tensor([[n in r.experts for n in mova.experts] for r in seen.routing])
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

    return [", ".join(r.experts) or "none" for r in seen.routing], {
        "views, of both below": views,
        "base": lambda: core.encode_base(*pictures),
        "routing": lambda: mova.model.route(None, None, *router, base_map=base_map),
        "experts": lambda: core.encode_experts(*pictures, routing),
        "adapter": lambda: core.image_tokens(None, None, routing, *asking, base_map, expert_maps),
        "prefill": lambda: answer(1),
        f"prefill and {WORDS} tokens": lambda: answer(WORDS + 1),
    }


def stages(arguments: argparse.Namespace) -> None:
    """Nano's stages, one by one."""
    mova, speed = Mova.from_pretrained("nano"), matrix_speed()
    print(f"nano, {torch.get_num_threads()} threads; a product of matrices: {speed:.0f} x 10^9/s")
    for batch in arguments.batch or (1, 4, 16):
        with torch.no_grad():
            chosen, ways = stage_ways(mova, batch)
            seconds = timed(ways, arguments.repeats)
            counted = {name: operations(work) for name, work in ways.items()}
        print(f"\nbatch {batch}; experts: {'; '.join(chosen)}")
        print("| stage | seconds | 10^9 operations | of a product's speed |\n|---|---|---|---|")
        for name, values in seconds.items():
            share = counted[name] / statistics.median(values) / speed
            print(f"| {name} | {told(values)} | {counted[name]:.1f} | {100 * share:.0f}% |")


def asked_by(mova: Mova, batch: Sequence[tuple[Any, str]], words: int) -> list[str]:
    """Ours: all together, routed by the model."""
    answers = mova.ask_batch(batch, max_new_tokens=words, batch_size=len(batch))
    return [answer.text for answer in answers]


@torch.no_grad()
def released(mova: Mova, script: Script, picture: Any, question: str, words: int) -> str:
    """One question as the released code answers it, over the same weights."""
    model, core = mova.model, mova.model.model
    turns = [[user_turn(question, picture)]]
    inputs = prepare(model, mova.processor, turns, [Choice.of(None, None, mova.experts)])
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    for j in VIEWS:
        core.experts.get(j).view(*pictures)
    base_map = core.encode_base(*pictures)
    routing = torch.zeros(1, len(mova.experts), dtype=torch.bool)

    def adapted(maps: Mapping[int, ExpertMap]) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return core.image_tokens(None, None, routing, *asking, base_map, maps)[0]

    def written(prompt: str, tokens: Tensor, new: int, pooled: Tensor | None) -> Tensor:
        ids = inputs[f"{prompt}input_ids"]
        mask = inputs[f"{prompt}attention_mask"]
        said: Any = super(type(model), model).generate(
            ids,
            attention_mask=mask,
            image_tokens=tokens,
            max_new_tokens=new,
            do_sample=False,
            **({} if pooled is None else {"pooled": pooled}),
        )
        return said[:, ids.shape[1] :]

    with script.writing():
        letters = written("routing_", adapted({}), 16, torch.ones(1, dtype=torch.bool))
    text = mova.processor.tokenizer.decode(letters[0], skip_special_tokens=True)
    for j, letter in enumerate("ABCDEFG"):
        routing[0, j] = letter in text
    maps = {}
    for j in routing[0].nonzero()[:, 0].tolist():
        maps[j] = ExpertMap(torch.tensor([0]), expert_map(core.experts.get(j), *pictures))
    new_ids = written("", adapted(maps), words, None)
    return str(mova.processor.tokenizer.decode(new_ids[0], skip_special_tokens=True)).strip()


def flow(arguments: argparse.Namespace) -> None:
    """Time to the first token, and questions a second, against the released flow."""
    mova = reduced(7)
    (batch,) = arguments.batch or (16,)
    routes = ["A, D", "B, E", "C, G", "A, F"]
    asked = questions(batch)
    one = Script(mova, routes[:1])
    ways: Ways = {
        "released": lambda: released(mova, one, *asked[0], 1),
        "ours": lambda: asked_by(mova, asked[:1], 1),
    }
    mine, theirs = ways["ours"]()[0], ways["released"]()
    if mine != theirs:
        sys.exit(f"the answers differ: {mine!r}, released {theirs!r}")
    seconds = timed(ways, arguments.repeats)
    print(f"{torch.get_num_threads()} threads, float32, experts A and D")
    for name in ways:
        print(f"time to the first token, {name}: {told(seconds[name])} s")
    print(f"ours over released: {ratio(seconds['ours'], seconds['released'])}", flush=True)
    if batch == 1:
        return
    one.ids = Script(mova, [routes[i % len(routes)] for i in range(batch)]).ids
    many = timed({"ours": lambda: asked_by(mova, asked, WORDS)}, arguments.repeats)["ours"]
    one.ids = one.ids[:1]
    single = timed({"r": lambda: released(mova, one, *asked[0], WORDS)}, arguments.repeats)["r"]
    faster = [batch * s / m for s, m in zip(single, many, strict=True)]
    print(f"{batch} questions of {WORDS} tokens: {told([batch / m for m in many])} a second")
    print(f"released, one by one: {told([1 / s for s in single])} a second")
    print(f"ours over released: {told(faster)}")


def pool(arguments: argparse.Namespace) -> None:
    """The same two experts chosen out of 7, 14 and 28; and the whole beside its parts."""
    (picture, question), *_ = questions(1)
    ways: dict[str, Callable[[], Any]] = {}
    models = {size: reduced(size) for size in (7, 14, 28)}
    for size, mova in models.items():
        ways[f"{size} experts"] = lambda m=mova: m.ask(
            picture, question, experts=CHOSEN, max_new_tokens=WORDS
        )
    mova = models[7]
    core = mova.model.model
    choice = [Choice.of(CHOSEN, None, mova.experts)]
    inputs = prepare(mova.model, mova.processor, [[user_turn(question, picture)]], choice)
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    seen = look(mova.model, inputs, choice, Clock(mova.model.device))
    routing = torch.tensor([choice[0].fixed])
    base_map, maps = core.encode_base(*pictures), core.encode_experts(*pictures, routing)
    ways |= {
        "base": lambda: core.encode_base(*pictures),
        CHOSEN[0]: lambda: expert_map(core.experts.get(mova.experts.index(CHOSEN[0])), *pictures),
        CHOSEN[1]: lambda: expert_map(core.experts.get(mova.experts.index(CHOSEN[1])), *pictures),
        "adapter": lambda: core.image_tokens(None, None, routing, *asking, base_map, maps),
        "language model": lambda: mova.model.generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            image_tokens=seen.tokens,
            max_new_tokens=WORDS,
            do_sample=False,
        ),
    }
    with torch.no_grad():
        seconds = timed(ways, arguments.repeats)
    for name, values in seconds.items():
        print(f"{name}: {told(values)} s")
    for size in (14, 28):
        more = ratio(seconds[f"{size} experts"], seconds["7 experts"])
        print(f"two chosen of {size} over two of 7: {more}")
    parts = [sum(turn) for turn in zip(*list(seconds.values())[len(models) :], strict=True)]
    print(f"an answer over the sum of its parts: {ratio(seconds['7 experts'], parts)}")


NANO = """
import resource, time
from openmova import Mova
mova = Mova.from_pretrained("nano")
mova.ask("examples/form-1.png", "What is the price?")
print(time.time())
began = time.time()
mova.ask("examples/form-1.png", "What is the price?")
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
    parser.add_argument("--batch", type=int, nargs="+", help="of stages, or one of flow")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    quiet_libraries()
    {"stages": stages, "flow": flow, "pool": pool, "cold": cold}[arguments.what](arguments)


if __name__ == "__main__":
    main()

"""What an accelerator can tell in ten minutes, part by part; and how its figures get into the docs.

    benchmarks/accelerator.sh inference                # on a bare machine; see there
    python benchmarks/accelerator.py training --output FOLDER --shape tiny --device cpu
    python benchmarks/accelerator.py report FOLDER     # FOLDER's figures into docs/

tests      the fast tests on the device; parity on the golden sets in float32 and bfloat16
inference  MoVA-8B's shape in bfloat16: the first token, stages, batches, experts, memory, and the
           released flow beside it
training   steps of finetuning and pretraining at that shape and at a quarter of it
nano       a script that trains the embedded model; its checkpoints come back in pieces

A part writes PART.json after every figure, so that what was measured is there wherever it is
stopped, and PART.md. A figure that fails leaves a note, and the next one is measured. Weights are
random and made on the device; nothing is read or fetched but by nano's script.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import torch
import transformers
from measuring import Ways, cost, product_speed, timed
from sizes import Script, divided, random_model, random_mova
from torch import nn
from training import batch_of, learn, operations, step_operations

from inference import WORDS, asked_by, flow_seconds, questions, routes, stage_ways
from openmova.checkpoints.loading import load_model
from openmova.inference.mova import Mova
from openmova.train.devices import DEVICES
from openmova.train.stages import set_stage

ROOT = Path(__file__).parents[1]
GIB = 2**30


class Size(NamedTuple):
    """A model that is trained."""

    name: str
    by: int
    """What MoVA-8B is divided by."""
    rows: int
    """Samples of a step; half as many, as long as they do not fit."""
    lean: bool
    """Finetuned with weights and gradients in bfloat16 and plain SGD, and layers are computed
    again: float32 and AdamW's averages of 8B parameters do not fit one card. Else as `openmova
    train` does it."""


SHAPES = {
    "8b": (Size("8B", 1, 4, True), Size("a quarter", 4, 16, False)),
    "tiny": (Size("a 64th, lean", 64, 2, True), Size("a 64th", 64, 2, False)),
}
"""The first is asked, too."""
BATCHES = {"8b": (1, 4, 16, 64), "tiny": (1, 4)}
PIECE = 16 * 2**20
PIECES = 4
"""At most so many pieces of checkpoints come back, of so many bytes."""


class Sheet:
    """A part's figures in tables, written after each: PART.json and PART.md in a folder.

    A cell is {"value": the median, "least": ..., "most": ...}.
    """

    def __init__(self, part: str, output: Path, device: torch.device, seconds: float) -> None:
        self.part = part
        self.output = output
        self.device = device
        self.tables: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        self.notes: list[str] = []
        self._end = time.monotonic() + seconds
        self._machine = machine(device)
        output.mkdir(parents=True, exist_ok=True)

    @property
    def seconds_left(self) -> float:
        return self._end - time.monotonic()

    @property
    def peak(self) -> float:
        """Floating-point operations a second in bfloat16: the maker's figure, or else measured."""
        return self._machine["operations_a_second"]

    def add(self, table: str, row: str, column: str, values: float | Sequence[float]) -> None:
        found = [values] if isinstance(values, float | int) else list(values)
        cell = {"value": statistics.median(found), "least": min(found), "most": max(found)}
        self.tables.setdefault(table, {}).setdefault(row, {})[column] = cell
        self.write()

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(text, file=sys.stderr, flush=True)
        self.write()

    def measure(self, what: str, work: Callable[[], Any]) -> None:
        """Do the work, or note why not: no time is left, or what went wrong."""
        if self.seconds_left <= 0:
            return self.note(f"{what}: not measured, no time was left")
        began = time.monotonic()
        try:
            work()
        except Exception as error:  # noqa: BLE001
            # The next figure is not to be lost with this one.
            traceback.print_exc()
            reason = str(error).strip().partition("\n")[0]
            self.note(f"{what}: not measured, {type(error).__name__}: {reason[:200]}")
        print(f"{what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def write(self) -> None:
        found = {"part": self.part, "machine": self._machine}
        found |= {"tables": self.tables, "notes": self.notes}
        text = json.dumps(found, indent=1)
        whole = self.output / f"{self.part}.json"
        part = whole.with_suffix(".part")
        part.write_text(text)
        part.replace(whole)
        (self.output / f"{self.part}.md").write_text(markdown(found))


def machine(device: torch.device) -> dict[str, Any]:
    """The card, what it can do, and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    product = 1e9 * product_speed(device, torch.bfloat16)
    stated = [d.operations for key, d in DEVICES.items() if key in name.lower().split()]
    return {
        "name": name,
        "operations_a_second": stated[0] if stated else product,
        "product": product,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": sys.version.partition(" ")[0],
    }


def memory(device: torch.device, work: Callable[[], Any], model: nn.Module) -> float:
    """GiB that the work takes at most, the weights on the device among them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / GIB
    weights = [*model.parameters(), *model.buffers()]
    return sum(w.nbytes for w in weights) / GIB + cost(work, weights).memory / 1024


# The parts


def tests(sheet: Sheet, options: argparse.Namespace) -> None:
    """The tests that need no package which a bare machine lacks."""
    files = [
        *("model/test_modeling_mova.py", "model/test_adapter.py", "routing"),
        *("inference/test_prompt_cache.py", "inference/test_fast_linear.py"),
        *("model/test_quantization.py", "checkpoints/test_memory.py"),
        "checkpoints/test_placement.py",
    ]
    numbers = [f"parity/test_{name}_parity.py" for name in ("adapter", "encoders", "tower")]
    runs = {
        "parity, float32": (["parity"], {}),
        "parity, bfloat16": (numbers, {"OPENMOVA_DTYPE": "bfloat16"}),
        "fast tests": (files, {}),
    }
    if options.shape == "tiny":
        runs["parity, float32"] = (["parity/test_golden.py"], {})
        runs["parity, bfloat16"] = (numbers[2:], {"OPENMOVA_DTYPE": "bfloat16"})
        runs["fast tests"] = (["routing/test_pooling.py"], {})
    for name, (chosen, variables) in runs.items():
        sheet.measure(name, lambda n=name, c=chosen, v=variables: pytest_run(sheet, n, c, v))


def pytest_run(sheet: Sheet, name: str, files: list[str], variables: Mapping[str, str]) -> None:
    """Run pytest on files of tests/, on the device; count what passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"]
        command += ["-p", "no:cacheprovider", f"--junitxml={report}"]
        command += [str(ROOT / "tests" / file) for file in files]
        variables = {**os.environ, "OPENMOVA_DEVICE": sheet.device.type, **variables}
        began = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=variables, timeout=sheet.seconds_left)
        seconds = time.monotonic() - began
        (suite,) = ElementTree.parse(report).getroot()
    bad = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    found = {"passed": int(suite.attrib["tests"]) - bad - skipped, "failed": bad}
    found |= {"skipped": skipped, "seconds": seconds}
    for column, value in found.items():
        sheet.add("tests", name, column, value)
    for case in suite:
        if case.find("failure") is not None or case.find("error") is not None:
            sheet.note(f"{name}: {case.attrib['classname']}.{case.attrib['name']} failed")


def inference(sheet: Sheet, options: argparse.Namespace) -> None:
    """An answer, its stages and its memory, beside the released flow's."""
    mova = random_mova(divided(SHAPES[options.shape][0].by), sheet.device.type, torch.bfloat16)
    script, repeats = Script(mova), options.repeats

    def flow() -> None:
        found = flow_seconds(mova, script, 16, repeats)
        for who, seconds in found["first"].items():
            sheet.add("answer", who, "first token, s", seconds)
        for who, questions_ in (("ours", 16), ("released", 1)):
            rates = [questions_ / s for s in found["many"][who]]
            sheet.add("answer", who, f"questions a second, batch {questions_}", rates)
        rates = [
            16 * b / a for a, b in zip(*map(found["many"].get, ("ours", "released")), strict=True)
        ]
        sheet.add("answer", "ours over released", "questions a second", rates)

    def stages() -> None:
        script.say(routes(1))
        _, ways = stage_ways(mova, 1)
        with torch.no_grad():
            seconds = timed(ways, repeats)
            for name, values in seconds.items():
                done = cost(ways[name], mova.model.parameters())
                sheet.add("stages, batch 1", name, "s", values)
                sheet.add("stages, batch 1", name, "10^9 operations", done.operations)
                share = 1e9 * done.operations / statistics.median(values) / sheet.peak
                sheet.add("stages, batch 1", name, "% of the peak", 100 * share)
                sheet.add("stages, batch 1", name, "MiB", done.memory)

    def batches() -> None:
        for batch in BATCHES[options.shape]:
            sheet.measure(f"batch {batch}", lambda batch=batch: questions_a_second(batch))

    def questions_a_second(batch: int) -> None:
        asked = questions(batch)
        script.say(routes(batch))
        ways: Ways = {"ours": lambda: asked_by(mova, asked, WORDS)}
        seconds = timed(ways, max(repeats // 2, 1))["ours"]
        row = f"batch {batch}, mixed routings"
        sheet.add("batches", row, "questions a second", [batch / s for s in seconds])
        sheet.add("batches", row, "GiB", memory(sheet.device, ways["ours"], mova.model))

    def pool() -> None:
        picture, question = questions(1)[0]
        ways: Ways = {
            name: lambda chosen=chosen: mova.ask(
                picture, question, experts=chosen, max_new_tokens=WORDS
            )
            for name, chosen in {
                "none": "none",
                "two": [mova.experts[0], mova.experts[3]],
                "all of 7": "all",
            }.items()
        }
        seconds = timed(ways, repeats)
        for name, values in seconds.items():
            sheet.add("experts, given, batch 1", name, "s", values)
            over = [a / b for a, b in zip(values, seconds["two"], strict=True)]
            sheet.add("experts, given, batch 1", name, "over two", over)

    def offloaded() -> None:
        mova.model.model.experts.offload = True
        sheet.add("memory of one question", "experts offloaded", "GiB", one_question(mova))

    def one_question(mova: Mova) -> float:
        picture, question = questions(1)[0]
        experts = [mova.experts[0], mova.experts[3]]
        ask = lambda: mova.ask(picture, question, experts=experts, max_new_tokens=WORDS)  # noqa: E731
        return memory(sheet.device, ask, mova.model)

    def four_bits() -> None:
        if importlib.util.find_spec("bitsandbytes") is None:
            return sheet.note("4 bits: not measured, bitsandbytes is not installed")
        with tempfile.TemporaryDirectory() as folder:
            mova.model.save_pretrained(folder)
            mova.model.to("cpu")
            small = load_model(
                Path(folder), device=sheet.device.type, quantization="4bit", offload=True
            )
            small.generation_config = mova.model.generation_config
            gibs = one_question(Mova(small, mova.processor))
        sheet.add("memory of one question", "experts offloaded, 4 bits", "GiB", gibs)

    sheet.measure("the released flow", flow)
    batches()
    sheet.measure("stages", stages)
    sheet.measure("experts", pool)
    sheet.measure("offload", offloaded)
    sheet.measure("4 bits", four_bits)


def training(sheet: Sheet, options: argparse.Namespace) -> None:
    """A step of each stage, with three of seven experts a sample and with all, as it is and with
    layers compiled."""
    for size in SHAPES[options.shape]:
        for stage in ("finetune", "pretrain"):
            sheet.measure(
                f"{size.name}, {stage}", lambda size=size, stage=stage: steps(sheet, size, stage)
            )


def steps(sheet: Sheet, size: Size, stage: str) -> None:
    """All figures of one size and stage."""
    device, config = sheet.device, divided(size.by)
    parts = step_operations(config, stage)
    model = random_model(config, device.type, torch.bfloat16)
    trained = set_stage(model, stage, learning_rate=1e-5, learning_rates={})
    optimizer: torch.optim.Optimizer
    if size.lean and stage == "finetune":
        model.to(torch.bfloat16)
        optimizer = torch.optim.SGD(trained.groups, fused=True)
    else:
        optimizer = torch.optim.AdamW(trained.groups, fused=True)
    if size.lean:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trained.eval_frozen()

    def step(batch: Mapping[str, torch.Tensor], chosen: int) -> None:
        routing = torch.rand(len(batch["input_ids"]), 7, device=device).argsort(dim=1) < chosen
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(**batch, routing=routing).loss
        learn(model, optimizer, loss)

    def figures(row: str, rows: int) -> None:
        batch = {key: tensor.to(device) for key, tensor in batch_of(config, rows).items()}
        for way, chosen in (("3 of 7 experts", 3), ("all experts", 7)):
            ways: Ways = {way: lambda chosen=chosen: step(batch, chosen)}
            gibs = memory(device, ways[way], model)
            seconds = timed(ways, 3)[way]
            tokens = batch["input_ids"].numel()
            mfu = 100 * rows * operations(parts, config, chosen) / sheet.peak
            found = {
                "samples": rows,
                "s": seconds,
                "tokens/s": [tokens / s for s in seconds],
                "MFU, %": [mfu / s for s in seconds],
                "GiB": gibs,
            }
            for column, values in found.items():
                sheet.add(f"a training step, {way}", row, column, values)

    def fitting(row: str) -> None:
        rows = size.rows
        while True:
            try:
                return figures(row, rows)
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
            sheet.note(f"{row}: {rows} samples do not fit")
            optimizer.zero_grad()
            gc.collect()
            torch.cuda.empty_cache()
            rows //= 2

    name = f"{size.name}, {stage}"
    fitting(name)
    # Where only the way there is tried, the compiler's slow half is left out.
    backend = "inductor" if device.type == "cuda" else "aot_eager"
    core: Any = model.model
    for layer in (*core.language_model.layers, *core.base.encoder["layers"]):
        layer.compile(backend=backend)
    sheet.measure(f"{name}, compiled", lambda: fitting(f"{name}, compiled"))


def nano(sheet: Sheet, options: argparse.Namespace) -> None:
    """Run the script on a folder until it ends or the time does; pack what it left."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "nano"
        began = time.monotonic()
        # A session of its own, so that what the script started ends with it.
        process = subprocess.Popen(
            ["bash", str(options.script), str(run)],
            env={**os.environ, "PYTHON": sys.executable},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=max(sheet.seconds_left - 30, 1))
            if code:
                sheet.note(f"nano: {options.script} ended with {code}")
        except subprocess.TimeoutExpired:
            sheet.note("nano: stopped, as no time was left")
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        sheet.add("nano", options.script.name, "s", time.monotonic() - began)
        size = pack(run, sheet)
        sheet.add("nano", options.script.name, "MiB of checkpoints", size / 2**20)


def pack(folder: Path, sheet: Sheet) -> int:
    """Write the folder's weights and what describes them as nano.tar.0, .1, ...; bytes written.

    `cat nano.tar.? | tar x` joins them. What an optimizer keeps is left out.
    """
    kept = (".safetensors", ".json", ".jsonl", ".tsv", ".yaml")
    whole = sheet.output / "nano.tar"
    with tarfile.open(whole, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.suffix in kept and not any("checkpoint" in part for part in file.parts):
                archive.add(file, file.relative_to(folder))
    data = whole.read_bytes()
    whole.unlink()
    for number in range(min(-(-len(data) // PIECE), PIECES)):
        piece = data[number * PIECE : (number + 1) * PIECE]
        (sheet.output / f"nano.tar.{number}").write_bytes(piece)
    if len(data) > PIECES * PIECE:
        sheet.note(f"nano: {len(data) / 2**20:.0f} MiB of checkpoints are more than can come back")
    return min(len(data), PIECES * PIECE)


# The report


def told(cell: Mapping[str, float]) -> str:
    """ "0.31 (0.3 to 0.33)"; one number, where it was measured once."""
    value, least, most = (f"{cell[name]:.3g}" for name in ("value", "least", "most"))
    plain = f"{cell['value']:,.0f}" if abs(cell["value"]) >= 1000 else value
    return plain if least == most else f"{plain} ({least} to {most})"


def markdown(found: Mapping[str, Any]) -> str:
    """A part's tables and notes."""
    about = found["machine"]
    lines = [
        f"**{about['name']}**: {found['part']}; Python {about['python']}, torch {about['torch']}, "
        f"transformers {about['transformers']}; a product of matrices in bfloat16 ran at "
        f"{about['product'] / 1e12:.3g} x 10^12 operations a second."
    ]
    for title, table in found["tables"].items():
        columns = list(dict.fromkeys(name for row in table.values() for name in row))
        lines += ["", f"| {title} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
        for name, row in table.items():
            cells = [told(row[column]) if column in row else "" for column in columns]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    if found["notes"]:
        lines += ["", *(f"- {note}" for note in found["notes"])]
    return "\n".join(lines) + "\n"


def value(sheets: Mapping[str, Any], part: str, *path: str) -> float | None:
    """A median among the parts' figures; None, if it was not measured."""
    found = sheets.get(part, {}).get("tables", {})
    for name in path:
        found = found.get(name, {})
    return found.get("value")


def targets(sheets: Mapping[str, Any]) -> str:
    """What was aimed at, against what was measured."""
    step = ("a training step, 3 of 7 experts", "8B, finetune")
    memory_ = ("memory of one question",)
    failed = value(sheets, "tests", "tests", "parity, float32", "failed")
    rows: list[tuple[str, str, float | None, Callable[[float], bool]]] = [
        (
            "time to the first token, batch 1, two experts, s",
            "at most 0.25",
            value(sheets, "inference", "answer", "ours", "first token, s"),
            lambda v: v <= 0.25,
        ),
        (
            "questions a second at batch 16 over the released flow at batch 1",
            "at least 10",
            value(sheets, "inference", "answer", "ours over released", "questions a second"),
            lambda v: v >= 10,
        ),
        (
            "MFU of the finetuning step, %",
            "at least 40",
            value(sheets, "training", *step, "MFU, %"),
            lambda v: v >= 40,
        ),
        (
            "one question, experts offloaded, GiB",
            "at most 24",
            value(sheets, "inference", *memory_, "experts offloaded", "GiB"),
            lambda v: v <= 24,
        ),
        (
            "the same in 4 bits, GiB",
            "at most 12",
            value(sheets, "inference", *memory_, "experts offloaded, 4 bits", "GiB"),
            lambda v: v <= 12,
        ),
        ("parity in float32, tests that failed", "0", failed, lambda v: v == 0),
    ]
    lines = ["| MoVA-8B's shape, bfloat16 | target | measured | |", "|---|---|---|---|"]
    for what, target, measured, met in rows:
        told_ = "" if measured is None else f"{measured:.3g}"
        verdict = "open" if measured is None else "met" if met(measured) else "not met"
        lines.append(f"| {what} | {target} | {told_} | {verdict} |")
    return "\n".join(lines) + "\n"


def scale(sheets: Mapping[str, Any]) -> str:
    """The measured steps, and what they make of the plan's hours."""
    step = ("a training step, 3 of 7 experts", "8B, finetune", "MFU, %")
    mfu = value(sheets, "training", *step)
    told_ = markdown(sheets["training"])
    if mfu is not None:
        told_ += (
            f"\nThe finetuning step reached {mfu:.0f}% of the peak where the plan assumes 40%: at "
            f"that rate its hours are to be multiplied by {40 / mfu:.2f}.\n"
        )
    return told_


def report(folder: Path, docs: Path) -> None:
    """Put the figures of a folder into the docs, between their markers, in place of what is there.

    A part that the folder lacks stays as it is.
    """
    files = sorted(folder.glob("*.json"))
    sheets = {found["part"]: found for found in (json.loads(f.read_text()) for f in files)}
    if not sheets:
        sys.exit(f"there are no figures in {folder}: run benchmarks/accelerator.sh first")
    blocks = {part: markdown(sheets[part]) for part in sheets if part != "training"}
    if "training" in sheets:
        blocks["training"] = scale(sheets)
    blocks["targets"] = targets(sheets)
    for name in ("performance.md", "scale.md"):
        text = (docs / name).read_text()
        for block, content in blocks.items():
            marked = rf"(<!-- accelerator: {block} -->\n).*?(<!-- end -->)"
            text = re.sub(marked, lambda m, c=content: m[1] + c + m[2], text, flags=re.DOTALL)
        (docs / name).write_text(text)


PARTS = {"tests": tests, "inference": inference, "training": training, "nano": nano}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    for name in PARTS:
        part = commands.add_parser(name)
        part.add_argument("--output", type=Path, default=Path(os.environ.get("OUT", "accelerator")))
        part.add_argument("--shape", choices=list(SHAPES), default="8b")
        part.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        part.add_argument("--seconds", type=float, default=500, help="after which none is begun")
        part.add_argument("--repeats", type=int, default=5)
        part.add_argument("--script", type=Path, default=ROOT / "recipes" / "nano.sh")
    reporting = commands.add_parser("report")
    reporting.add_argument("folder", type=Path)
    reporting.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    if options.what == "report":
        return report(options.folder, options.docs)
    transformers.utils.logging.disable_progress_bar()
    device = torch.device(options.device)
    sheet = Sheet(options.what, options.output, device, options.seconds)
    sheet.write()
    PARTS[options.what](sheet, options)
    print(markdown(json.loads((options.output / f"{options.what}.json").read_text())))


if __name__ == "__main__":
    main()

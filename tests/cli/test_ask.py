"""openmova ask: what is printed, and every mistake as one line with exit code 2."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from commands import run as run_command
from openmova.experts.cost import ExpertCost
from openmova.experts.pool import ExpertPool
from openmova.inference.text_stream import TextStream
from openmova.model.modeling_mova import MovaForConditionalGeneration
from terminal import COMMAND
from tiny import pictures

QUESTION = "what is this ?"

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_folder: str, image: str) -> Run:
    """The command in this process, on the tiny model and picture unless said otherwise."""

    def run(*arguments: str, stdin: str = "") -> Result:
        defaults = ["--model", tiny_folder, "--max-new-tokens", "3", "--device", "cpu"]
        return run_command("ask", *defaults, image, *arguments, stdin=stdin)

    return run


def assert_one_line(code: int, stdout: str, stderr: str, told: str) -> None:
    assert (code, stdout) == (2, "")
    assert stderr.startswith("openmova: ") and told in stderr
    assert stderr.count("\n") == 1 and stderr.endswith("\n")


def refuse(result: Result, told: str) -> None:
    assert_one_line(result.exit_code, result.stdout, result.stderr, told)


class TestAnswers:
    def test_one_question_gives_the_bare_answer_and_several_a_line_each(self, run: Run) -> None:
        one = run(QUESTION)
        assert (one.exit_code, one.stdout.count("\n"), one.stderr) == (0, 1, "")
        assert QUESTION not in one.stdout
        several = run(QUESTION, "how many dogs ?")
        first, second = several.stdout.splitlines(keepends=True)
        assert first == f"{QUESTION}\t{one.stdout}"
        assert second.startswith("how many dogs ?\t")
        assert run("-", stdin=f"{QUESTION}\n\n  how many dogs ?  \n").stdout == several.stdout

    def test_every_question_of_every_image(self, run: Run, image: str, tmp_path: Path) -> None:
        other = tmp_path / "what is this ?"  # a file is an image, whatever its name
        pictures(2, seed=1)[1].save(other, "PNG")
        result = run(str(other), QUESTION, "what red ?")
        rows = [line.split("\t") for line in result.stdout.splitlines()]
        asked = [(path, q) for q in (QUESTION, "what red ?") for path in (image, str(other))]
        assert [(path, question) for path, question, _ in rows] == asked
        assert [f"{rows[0][2]}\n", f"{rows[2][2]}\n"] == [
            run(q).stdout for q in (QUESTION, "what red ?")
        ]
        assert run(str(other), QUESTION).stdout.splitlines()[0] == f"{image}\t{rows[0][2]}"
        lines = run(str(other), QUESTION, "--json").stdout.splitlines()
        assert [json.loads(line)["image"] for line in lines] == [image, str(other)]

    def test_json_has_all_that_is_known(self, run: Run, image: str) -> None:
        lines = run(QUESTION, "what red ?", "--json").stdout.splitlines()
        first, second = (json.loads(line) for line in lines)
        keys = "image question answer boxes polygons routing gates timings"
        assert list(first) == keys.split()
        assert (first["image"], first["question"]) == (image, QUESTION)
        assert set(first["routing"]) == {"experts", "scores", "raw"}
        assert set(first["routing"]["scores"]) == {"one", "two", "three"}
        assert [set(block) for block in first["gates"]] == [set(first["routing"]["experts"])] * 2
        assert {"base", "routing", "experts", "adapter", "answer", "total"} <= set(first["timings"])
        assert second["question"] == "what red ?"

    def test_an_unsure_answer_says_so(self, run: Run, unsure_folder: str) -> None:
        model = ("--model", unsure_folder)
        assert run(QUESTION, *model).stdout == run(QUESTION).stdout.rstrip("\n") + " (unsure)\n"
        assert "confidence 0.0" in run(QUESTION, *model, "--show-routing").stdout
        told = json.loads(run(QUESTION, *model, "--json").stdout)
        assert 0 < told["confidence"] < 0.05 and told["unsure"] is True
        assert "unsure" not in told["answer"]

    def test_options_of_the_run(self, run: Run) -> None:
        line = json.loads(run(QUESTION, "--experts", "three,one", "--json").stdout)
        assert line["routing"] == {"experts": ["one", "three"], "scores": {}, "raw": ""}
        line = json.loads(run(QUESTION, "--max-experts", "0", "--json").stdout)
        assert line["routing"]["experts"] == []
        where = ("--experts", "all", "--offload", "--dtype", "bfloat16")
        for count in (2, 1):
            result = run(QUESTION, *where, "--threads", str(count))
            assert (result.exit_code, result.stderr) == (0, "")
            assert torch.get_num_threads() == count

    def test_the_routing_as_a_table(self, run: Run) -> None:
        table = run(QUESTION, "--show-routing").stdout
        for text in ("one", "two", "three", "score", "gate 2", "the router wrote"):
            assert text in table


class TestDrawing:
    @pytest.fixture
    def boxes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every answer gives a box and a polygon."""
        said = "[0.2, 0.3, 0.8, 0.7] [0.2, 0.4, 0.6, 0.4, 0.4, 0.6]"
        monkeypatch.setattr(TextStream, "text", lambda _: said)

    @pytest.mark.usefixtures("boxes")
    def test_all_regions_are_in_one_picture(self, run: Run, image: str, tmp_path: Path) -> None:
        one, both = tmp_path / "one.png", tmp_path / "both.png"
        options = ["--experts", "none", "--json", "--draw"]
        result = run(QUESTION, *options, str(one))
        assert (result.exit_code, result.stderr) == (0, "")
        line = json.loads(result.stdout)
        assert line["boxes"] == [[4.0, 2.0, 16.0, 10.0]]  # 20x12, padded to 20x20
        assert line["polygons"] == [[[4.0, 4.0], [12.0, 4.0], [8.0, 8.0]]]
        assert run(QUESTION, "what red ?", *options, str(both)).exit_code == 0
        pixels = []
        for path in (image, one, both):
            with Image.open(path) as picture:
                pixels.append(np.array(picture.convert("RGB")))
        assert pixels[0].shape == pixels[1].shape == pixels[2].shape
        assert not np.array_equal(pixels[0], pixels[1])
        assert not np.array_equal(pixels[1], pixels[2])

    def test_a_picture_without_regions_is_told(self, run: Run, image: str, tmp_path: Path) -> None:
        path = tmp_path / "out.png"
        result = run(QUESTION, "--experts", "none", "--draw", str(path))
        assert result.exit_code == 0
        assert result.stdout.count("\n") == result.stderr.count("\n") == 1
        assert "no box or polygon to draw" in result.stderr
        with Image.open(path) as drawn, Image.open(image) as picture:
            assert drawn.tobytes() == picture.tobytes()

    def test_bad_targets_are_told_beforehand(self, run: Run, image: str, tmp_path: Path) -> None:
        no_model = ["--model", str(tmp_path / "none"), "--draw"]
        refuse(run(QUESTION, *no_model, str(tmp_path / "out.txt")), "end its name with .png")
        refuse(run(QUESTION, *no_model, str(tmp_path / "no" / "out.png")), "there is no folder")
        refuse(run(QUESTION, *no_model, image), "it is the picture itself")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["  "], "is empty"),
        ([], "Missing argument 'QUESTION'"),
        ([QUESTION, "--experts", "on,two"], "did you mean one? The pool is one, two, three"),
        ([QUESTION, "--max-experts", "-1"], "--max-experts"),
        ([QUESTION, "--max-new-tokens", "0"], "--max-new-tokens"),
        ([QUESTION, "--max-seconds", "0"], "seconds"),
        ([QUESTION, "--max-seconds", "soon"], "--max-seconds"),
        ([QUESTION, "--device", "nowhere"], "nowhere"),
        ([QUESTION, "--dtype", "int8"], "int8"),
        ([QUESTION, "--quantize", "5bit"], "5bit"),
        ([QUESTION, "--device-map", "auto"], "device"),  # with a device
        ([QUESTION, "--no-such-option"], "--no-such-option"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_one_line(run: Run, arguments: list[str], told: str) -> None:
    refuse(run(*arguments), told)


def test_what_a_budget_leaves_out_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original = MovaForConditionalGeneration.route

    def route(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        return result._replace(routing=torch.ones_like(result.routing))

    cost = ExpertCost(operations=10, seconds=1.0)
    monkeypatch.setattr(MovaForConditionalGeneration, "route", route)
    monkeypatch.setattr(ExpertPool, "cost", lambda pool, j: cost)
    told = run(QUESTION, "--budget", "9").stderr
    assert "no room for one, two, three; the base encoder answers alone\n" in told
    assert "answers alone" not in run(QUESTION, "--budget", "25").stderr
    assert run(QUESTION, "--budget", "30").stderr == ""


def test_other_mistakes_too(run: Run, image: str, tmp_path: Path) -> None:
    refuse(run("-", stdin="y" * 5000), "at most 4,000")
    refuse(run("-", stdin="\n \n"), "no question on standard input")
    refuse(run(image), "there is no question after")
    refuse(run(image, QUESTION, "--draw", str(tmp_path / "out.png")), "ask about one")
    refuse(run(QUESTION, "--model", str(tmp_path)), "is no checkpoint")
    refuse(run_command("aks"), "Did you mean 'ask'?")


def test_bad_images_are_one_line_where_libraries_could_print_what_they_like(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", compression="tiff_lzw")
    damaged, bomb = tmp_path / "damaged.png", tmp_path / "bomb.png"
    damaged.write_bytes(file.getvalue().replace(b"\x80", b"\xff"))
    Image.new("1", (19_000, 19_000)).save(bomb)
    assert bomb.stat().st_size < 100_000
    for path, told in ((damaged, "damaged or cut off"), (bomb, "is too large")):
        command = [sys.executable, "-m", "openmova", "ask", str(path), QUESTION]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert_one_line(done.returncode, done.stdout, done.stderr, told)


@pytest.mark.slow
class TestEndings:
    def start(self, image: str, tiny_folder: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "ask", image, "-", "--model", tiny_folder, "--max-new-tokens", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def test_questions_as_they_come_and_a_quiet_ctrl_c(self, image: str, tiny_folder: str) -> None:
        with self.start(image, tiny_folder) as process:
            process.stdin.write(f"{QUESTION}\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(f"{QUESTION}\t")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (130, "")

    def test_a_reader_that_goes_ends_it_quietly(self, image: str, tiny_folder: str) -> None:
        with self.start(image, tiny_folder) as process:
            process.stdout.close()
            process.stdin.write(f"{QUESTION}\n{QUESTION}\n")
            process.stdin.close()
            stderr = process.stderr.read()
        assert (process.returncode, stderr) == (1, "")

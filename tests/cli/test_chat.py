"""openmova chat: a conversation in a terminal, and by lines."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from commands import mistake, run
from openmova import Mova
from openmova.cli.chat import ChatTerminal
from openmova.inference.engine import Engine
from terminal import COMMAND, CTRL_D, UP, Terminal
from tiny import pictures


def line(text: str) -> str:
    return " ".join(text.splitlines())


class TestByLine:
    def run(self, tiny_folder: str, stdin: str, *arguments: str) -> Result:
        options = ("--model", tiny_folder, "--max-new-tokens", "5", "--device", "cpu")
        return run("chat", *arguments, *options, stdin=stdin)

    def test_the_answers_of_a_conversation(self, tiny_folder: str, image: str, mova: Mova) -> None:
        chat = mova.chat()
        first = chat.ask("what is this ?", image, max_new_tokens=5)
        second = chat.ask("how many dogs ?", max_new_tokens=5)
        result = self.run(
            tiny_folder,
            "what is this ?\n\nhow many dogs ?\n/reset\nwhat is this ?\n/quit\nhow many dogs ?\n",
            image,
        )
        assert result.exit_code == 0, result.stderr
        said = [line(answer.text) for answer in (first, second, first)]
        assert result.stdout.splitlines() == said
        assert first.text != second.text

    def test_an_unsure_answer_says_so(self, unsure_folder: str, image: str, mova: Mova) -> None:
        text = mova.ask(image, "what is this ?", max_new_tokens=5).text
        assert self.run(unsure_folder, "what is this ?\n", image).stdout == f"{text} (unsure)\n"

    def test_another_image_is_a_new_conversation(
        self, tiny_folder: str, image: str, mova: Mova, tmp_path: Path
    ) -> None:
        other = tmp_path / "other.png"
        pictures(2, seed=1)[1].save(other)
        result = self.run(tiny_folder, f"what is this ?\n/image '{other}'\nwhat is this ?\n", image)
        asked = [mova.ask(path, "what is this ?", max_new_tokens=5) for path in (image, other)]
        assert result.stdout.splitlines() == [line(answer.text) for answer in asked]

    def test_further_images_a_system_message_and_none_of_both(
        self, tiny_folder: str, image: str, mova: Mova
    ) -> None:
        stdin = "what is this ?\n/system red cat\nhow many ?\n/add {0}\n/add {0}\nwhat red ?\n"
        result = self.run(tiny_folder, stdin.format(image))
        plain, told = mova.chat(), mova.chat("red cat")
        said = [
            plain.ask("what is this ?", max_new_tokens=5),
            told.ask("how many ?", max_new_tokens=5),
            told.ask("what red ?", more=[image, image], max_new_tokens=5),
        ]
        assert result.stdout.splitlines() == [line(answer.text) for answer in said]

    def test_experts_in_place_of_the_router(self, tiny_folder: str, image: str, mova: Mova) -> None:
        stdin = "/experts one,three\nwhat is this ?\n/routing\n/experts router\n"
        result = self.run(tiny_folder, stdin, image)
        answer = mova.ask(image, "what is this ?", experts="one,three", max_new_tokens=5)
        told = result.stdout.splitlines()
        assert told[0].startswith("you chose one, three")
        assert told[1] == line(answer.text)
        assert "gate 2" in told[3]
        assert told[-1].startswith("the router chooses")

    @pytest.mark.parametrize(
        ("stdin", "told"),
        [
            ("/add nowhere.png\n", "no file 'nowhere.png'"),
            (f"/system {'kind ' * 20_000}\n", "the system message has 99,999 characters"),
            ("/image nowhere.png\n", "no file 'nowhere.png'"),
            ("/experts tow\n", "did you mean two"),
            ("/image\n", "is no command"),
            ("/dance\n", "is no command: /help"),
            ("/routing\n", "no answer yet"),
        ],
    )
    def test_a_mistake_is_one_line(self, tiny_folder: str, stdin: str, told: str) -> None:
        assert told in mistake("chat", "--model", tiny_folder, "--device", "cpu", stdin=stdin)

    def test_no_such_picture(self, tiny_folder: str) -> None:
        result = self.run(tiny_folder, "", "nowhere.png")
        assert (result.exit_code, result.stdout) == (2, "")


@pytest.fixture
def terminal(tiny_folder: str, image: str, tmp_path: Path) -> Iterator[Terminal]:
    options = ["--model", tiny_folder, "--max-new-tokens", "5", "--device", "cpu"]
    cache = {"OPENMOVA_CACHE": str(tmp_path / "cache")}
    terminal = Terminal([*COMMAND, "chat", image, *options], cache)
    yield terminal
    terminal.close()


def test_in_a_terminal(terminal: Terminal, image: str, mova: Mova, tmp_path: Path) -> None:
    answer = mova.ask(image, "what is this ?", max_new_tokens=5)
    terminal.until("/help lists the commands")
    terminal.until("> ")
    terminal.press("what is this ?\n")
    shown = terminal.until("; cut short: see --max-new-tokens)")
    assert line(answer.text) in line(shown)
    assert all(f"{name} 0." in shown for name in answer.routing.experts)
    terminal.until("> ")
    terminal.press("/dance\n")
    terminal.until("is no command: /help lists them")
    terminal.until("> ")
    terminal.interrupt_until("(/quit or Ctrl-D end)")
    terminal.until("> ")
    terminal.press(UP + UP + "\n")  # the question again, out of the history
    terminal.until("cut short")
    terminal.until("> ")
    terminal.press(CTRL_D)
    assert terminal.process.wait(60) == 0
    kept = tmp_path / "cache" / "chat-history"
    assert kept.read_text().splitlines() == ["what is this ?", "/dance", "what is this ?"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_ctrl_c_stops_an_answer_and_forgets_its_question(
    mova: Mova, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As Ctrl-C would, where the first piece is written out."""
    engine = Engine(mova, max_batch_size=1)
    terminal = ChatTerminal(engine, experts=None, max_new_tokens=200)
    terminal.open(image)

    def interrupted(text: str) -> str:
        raise KeyboardInterrupt

    lines = iter(["what is this ?", "/quit"])
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path))
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    monkeypatch.setitem(sys.modules, "readline", None)  # as on Windows
    monkeypatch.setattr("openmova.cli.chat._remove_control", interrupted)
    terminal.run_interactive("tiny", None)
    engine.close()
    assert "stopped" in capsys.readouterr().out
    assert terminal._session.messages == []
    assert engine.running == 0

"""The folder of an evaluation: every finished sample is kept, so that a run goes on where it was.

DIR/run.json       settings (what the outcome depends on), versions, command; a run goes on only
                   with the same settings and versions
DIR/samples.jsonl  one line a finished sample
DIR/result.json    what the evaluation found, once it is finished
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeVar

from tqdm import tqdm

from openmova.errors import UserError
from openmova.runtime.files import append_text, checksum, claimed, write_text

Row = dict[str, Any]
"""What is kept of a sample, in plain JSON types."""
Item = TypeVar("Item")
PACKAGES = ("openmova", "torch", "transformers", "numpy", "pillow")


class Journal:
    """The finished samples of one evaluation, by key. Without a path it keeps them in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}

    @classmethod
    @contextmanager
    def opened(
        cls,
        path: Path | None,
        settings: Mapping[str, Any],
        *,
        model: str | None = None,
        program: str = "openmova",
    ) -> Iterator[Self]:
        """The journal of the folder, held for this process, with what an earlier start finished.

        settings: plain JSON, what the outcome depends on; model: what the user called it, and
        program: what the user started, both for the record. Raises UserError for a folder of other
        settings, or one that can't be used.
        """
        journal = cls(path)
        if path is None:
            yield journal
            return
        with claimed(path, "give another --output"):
            with _writing(path):
                journal._begin({"model": model}, settings, program)
                journal._read()
            yield journal

    @property
    def result(self) -> dict[str, Any] | None:
        """What the finished evaluation found; None while it is not finished."""
        if self.path is None or not (file := self.path / "result.json").exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def finish(self, result: Mapping[str, Any]) -> None:
        """Keep what the evaluation found."""
        if self.path is not None:
            with _writing(self.path):
                write_text(self.path / "result.json", json.dumps(result, indent=1))

    def add(self, rows: Mapping[str, Row]) -> None:
        """Keep finished samples, by key; they are on their way to the disk when this returns."""
        if self.path is not None:
            lines = [json.dumps({"sample": key, **row}) + "\n" for key, row in rows.items()]
            with _writing(self.path):
                append_text(self.path / "samples.jsonl", "".join(lines))
        self.rows.update(rows)

    def complete(
        self,
        items: Mapping[str, Item],
        make: Callable[[list[Item]], Iterable[Row]],
        *,
        batch: int,
        name: str,
    ) -> list[Row]:
        """The rows of all items, in order; those that are not there yet are made `batch` at a time.

        What is made together is the same however often the run was stopped, but for a batch whose
        lines were torn. Each row gets its share of the time, `seconds`. name: of the progress bar.
        """
        keys = list(items)
        bar = tqdm(total=len(keys), desc=name, mininterval=2)
        with bar:
            for start in range(0, len(keys), batch):
                part = keys[start : start + batch]
                if missing := [key for key in part if key not in self.rows]:
                    began = time.perf_counter()
                    made = list(make([items[key] for key in missing]))
                    share = round((time.perf_counter() - began) / len(missing), 4)
                    timed = [{**row, "seconds": share} for row in made]
                    self.add(dict(zip(missing, timed, strict=True)))
                bar.update(len(part))
        return [self.rows[key] for key in keys]

    def _begin(self, about: Mapping[str, Any], settings: Mapping[str, Any], program: str) -> None:
        assert self.path is not None
        noted = self.path / "run.json"
        own = {"settings": _plain(settings), "versions": versions()}
        if not noted.exists():
            started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            command = shlex.join([*program.split(), *sys.argv[1:]])
            record = {**about, **own, "command": command, "started": started}
            write_text(noted, json.dumps(record, indent=1))
            return
        try:
            old = json.loads(noted.read_text(encoding="utf-8"))
            before = [old[part] for part in own]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{str(noted)!r} can't be read: give another --output, or remove the folder"
            ) from error
        if self.result is not None:  # to show it again needs no package of that time
            before, own = before[:1], {"settings": own["settings"]}
        if changed := [
            f"{key}: {was.get(key)} -> {now.get(key)}"
            for was, now in zip(before, own.values(), strict=True)
            for key in dict.fromkeys([*was, *now])
            if was.get(key) != now.get(key)
        ]:
            raise UserError(
                f"{str(self.path)!r} holds an evaluation with other settings ("
                f"{'; '.join(changed)}): go on with its own, or give another --output"
            )

    def _read(self) -> None:
        """The finished samples; what a kill left of a last line is dropped."""
        assert self.path is not None
        file = self.path / "samples.jsonl"
        if not file.exists():
            return
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with file.open("r+b") as opened:
                opened.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                row = json.loads(line)
                self.rows[row.pop("sample")] = row
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                raise UserError(
                    f"line {number} of {str(file)!r} is no sample: remove that line, or give "
                    "another --output"
                ) from error


def versions() -> dict[str, str]:
    """Of Python and of the packages that an outcome may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def fingerprint(path: Path) -> str:
    """The SHA-256 of a file's content, or of a folder's names and contents without hidden ones.

    Raises UserError if it can't be read.
    """
    try:
        if not path.is_dir():
            return checksum(path)
        found = sorted(
            (name.as_posix(), checksum(path / name))
            for name in (file.relative_to(path) for file in path.rglob("*") if file.is_file())
            if not any(part.startswith(".") for part in name.parts)
        )
    except OSError as error:
        raise UserError(
            f"can't read {str(path)!r} ({error.strerror or error}): check the path"
        ) from error
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As they are read back: tuples as lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"can't write into {str(path)!r} ({error.strerror or error}): make room and start the "
            "same command again, or give another --output"
        ) from error

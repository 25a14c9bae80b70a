"""The folder of a run: one writer, settings that must agree, journals that go on.

    store = RunStore(Path("out"), "an evaluation")
    with store.claim():                  # this process alone; a second one is told so
        store.begin({"seed": 7})         # noted in run.json; the folder of another seed is refused
        with store.writing():            # a full disk and the like, as a UserError
            log = JsonLines(store.path / "log.jsonl")
            log.entries()                # what an earlier start wrote, without a torn last line
            log.append({"step": 1})      # whole lines, also from several processes
            log.rewind(lambda entry: entry["step"] <= 1)

`Journal` stands on it: finished samples by key, each made once.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeVar

from tqdm import tqdm

from openmova.errors import UserError, reason
from openmova.runtime.files import append_text, checksum, claim, write_text, writing

Row = dict[str, Any]
"""What is kept of a sample, in plain JSON types."""
Item = TypeVar("Item")
PACKAGES = ("openmova", "torch", "transformers", "numpy", "pillow")
OTHER = "give another --output"
NO_ROOM = f"make room and start the same command again, or {OTHER}"
SAMPLES = "samples.jsonl"
_ABSENT = object()


class RunStore:
    """The folder of a run.

    kind: what messages call the run, such as "an evaluation". Nothing is made before it is needed.
    """

    def __init__(self, path: Path, kind: str = "a run") -> None:
        self.path = path
        self.kind = kind
        self.noted = path / "run.json"

    def claim(self) -> AbstractContextManager[None]:
        """Hold the folder for this process. Raises UserError if another one holds it."""
        return claim(self.path, OTHER)

    def writing(self) -> AbstractContextManager[None]:
        """What goes wrong while writing into the folder, as a UserError."""
        return writing(self.path, NO_ROOM)

    def begin(
        self,
        settings: Mapping[str, Any],
        *,
        record: Mapping[str, Any] | None = None,
        program: str = "openmova",
        same_versions: bool = False,
    ) -> None:
        """Note the settings in run.json, or find that they are those of the run that goes on.

        settings: plain JSON, what the outcome depends on. record: what is noted beside them; so are
        versions, time and command, of which `program` is what the user started. same_versions:
        those of Python and the packages must agree, too. Several processes may begin at once.
        Raises UserError, with the differences, for other settings.
        """
        new: dict[str, Any] = json.loads(json.dumps(settings))  # tuples as lists
        used = versions()
        if not self.noted.exists():
            whole = {
                **(record or {}),
                "settings": new,
                "versions": used,
                "command": shlex.join([*program.split(), *sys.argv[1:]]),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            with self.writing():
                self.path.mkdir(parents=True, exist_ok=True)
                write_text(self.noted, json.dumps(whole, indent=1))
            return
        old = self._record()
        changed = differences(old["settings"], new)
        if same_versions:
            changed += differences(old["versions"], used)
        if changed:
            raise UserError(
                f"{str(self.path)!r} holds {self.kind} with other settings ({'; '.join(changed)}): "
                f"go on with its own, or {OTHER}"
            )

    def settings(self) -> dict[str, Any]:
        """As `begin` noted them. Raises UserError if there are none that can be read."""
        return self._record()["settings"]

    def _record(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.noted.read_text(encoding="utf-8"))
            return {part: dict(found[part].items()) for part in ("settings", "versions")}
        except FileNotFoundError as error:
            raise UserError(
                f"{str(self.path)!r} holds no run that was begun: check --output"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{str(self.noted)!r} can't be read: {OTHER}, or remove the folder"
            ) from error


class JsonLines:
    """A file that grows by a line of JSON, one object, for each entry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *entries: Mapping[str, Any]) -> None:
        """Entries are on their way to the disk when this returns."""
        append_text(self.path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def entries(self) -> list[dict[str, Any]]:
        """All of them, but for a last line that a kill has torn.

        Raises UserError that names a line which is no entry.
        """
        if not self.path.exists():
            return []
        *lines, _torn = self.path.read_bytes().split(b"\n")
        found: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"line {number} of {str(self.path)!r} is no entry: remove that line, or {OTHER}"
                ) from error
        return found

    def rewind(self, keep: Callable[[dict[str, Any]], bool] = lambda entry: True) -> None:
        """Forget the entries that are not to be kept, and a torn last line."""
        if self.path.exists():
            kept = [json.dumps(entry) + "\n" for entry in self.entries() if keep(entry)]
            write_text(self.path, "".join(kept))


class Journal:
    """The finished samples of one evaluation, by key. Without a path it keeps them in memory.

    DIR/run.json       settings, versions, command; it goes on only with the same ones
    DIR/samples.jsonl  one line a finished sample
    DIR/result.json    what the evaluation found, once it is finished
    """

    def __init__(self, path: Path | None = None) -> None:
        self.store = None if path is None else RunStore(path, "an evaluation")
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
        settings or versions, or one that can't be used.
        """
        journal = cls(path)
        if (store := journal.store) is None:
            yield journal
            return
        with store.claim():
            store.begin(
                settings,
                record={"model": model},
                program=program,
                # To show a finished one again needs no package of that time.
                same_versions=journal.result is None,
            )
            journal._read(store)
            yield journal

    @property
    def path(self) -> Path | None:
        return None if self.store is None else self.store.path

    @property
    def result(self) -> dict[str, Any] | None:
        """What the finished evaluation found; None while it is not finished."""
        if self.path is None or not (file := self.path / "result.json").exists():
            return None
        return dict(json.loads(file.read_text(encoding="utf-8")))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Keep what the evaluation found."""
        if self.store is not None:
            with self.store.writing():
                write_text(self.store.path / "result.json", json.dumps(result, indent=1))

    def add(self, rows: Mapping[str, Row]) -> None:
        """Keep finished samples, by key; they are on their way to the disk when this returns."""
        if self.store is not None:
            with self.store.writing():
                lines = ({"sample": key, **row} for key, row in rows.items())
                JsonLines(self.store.path / SAMPLES).append(*lines)
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
        with tqdm(total=len(keys), desc=name, mininterval=2) as bar:
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

    def _read(self, store: RunStore) -> None:
        samples = JsonLines(store.path / SAMPLES)
        with store.writing():
            samples.rewind()
            entries = samples.entries()
        try:
            self.rows = {entry.pop("sample"): entry for entry in entries}
        except KeyError as error:
            raise UserError(
                f"{str(samples.path)!r} has a line without a sample: remove it, or {OTHER}"
            ) from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two settings, as "lora.rank: 8 -> 16"."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]


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
        raise UserError(f"can't read {str(path)!r} ({reason(error)}): check the path") from error
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested plain types as dotted keys."""
    if not isinstance(value, Mapping | list) or not value:
        return {where: value}
    pairs: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, Mapping) else enumerate(value)
    )
    flat: dict[str, Any] = {}
    for key, item in pairs:
        flat |= _flat(item, f"{where}.{key}" if where else str(key))
    return flat

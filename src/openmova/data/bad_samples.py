"""A sample that can't be used: told with its reason, skipped, counted and listed.

A few bad samples must not stop a run of days; many mean that the data or its settings are wrong,
and the run stops with what to look at.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from openmova.errors import UserError
from openmova.runtime.files import append_text, writing

KEYS = ("source", "id", "reason")
"""In a line of the list."""
WARM_UP = 100
"""Samples before the share of bad ones says something."""


class BadSample(Exception):
    """Why a sample can't be used, in one line; `id` and `source` say which one, where known."""

    def __init__(self, reason: str, *, id: str = "", source: str = "") -> None:
        self.reason = " ".join(reason.split())
        self.id = id
        self.source = source
        super().__init__(self.reason)

    def of(self, *, id: str, source: str) -> BadSample:
        """The same reason, with which sample it is about."""
        return BadSample(self.reason, id=self.id or id, source=self.source or source)


class BadSamples:
    """The bad samples of a run: each is written once, as a line of JSON, into `file`.

    share: of bad samples above which the run stops, looked at once WARM_UP samples were seen.
    A file that is there already, of the run that is resumed, is continued.
    """

    def __init__(self, file: Path | None = None, *, share: float = 0.01) -> None:
        self.file = file
        self.share = share
        self.good = 0
        self.bad = 0
        self.by_source: Counter[str] = Counter()
        self._known = _read_list(file)

    def add_good(self) -> None:
        self.good += 1

    def add(self, bad: BadSample) -> None:
        """Count it, and list it if it is new. Raises UserError if too many are bad, or the list
        can't be written."""
        self.bad += 1
        self.by_source[bad.source] += 1
        key = (bad.source, bad.id, bad.reason)
        if key not in self._known:
            self._known.add(key)
            self._write(key)
        seen = self.good + self.bad
        if seen >= WARM_UP and self.bad > self.share * seen:
            worst = self.by_source.most_common(1)[0][0]
            listed = f", all in {str(self.file)!r}" if self.file else ""
            raise UserError(
                f"{self.bad} of {seen} samples are bad, more than the allowed share of "
                f"{self.share:g} (most of {worst}; the last: {bad.reason}{listed}): "
                "mend the data (openmova data check FILE), or raise bad_share"
            )

    def _write(self, bad: tuple[str, str, str]) -> None:
        if self.file is not None:
            with writing(self.file.parent, "make room there, or give another output folder"):
                self.file.parent.mkdir(parents=True, exist_ok=True)
                append_text(self.file, json.dumps(dict(zip(KEYS, bad, strict=True))) + "\n")


def _read_list(file: Path | None) -> set[tuple[str, str, str]]:
    """What an earlier part of the run listed; a last line that was torn is ended."""
    known: set[tuple[str, str, str]] = set()
    if file is None or not file.is_file():
        return known
    text = file.read_text(encoding="utf-8", errors="replace")
    if text and not text.endswith("\n"):
        append_text(file, "\n")
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        known.add(tuple(entry[key] for key in KEYS))
    return known

"""A disk that fills during a run: one line, exit code 2, and the run goes on once there is room.

The system itself refuses to write: a process may be given a largest size of its files.
"""

from __future__ import annotations

from pathlib import Path

from train.runs import FAST, finish, start, start_command_until_full, weights


def test_a_full_disk_ends_the_run_with_one_line_and_keeps_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    output, errors = tmp_path / "run", tmp_path / "errors"
    process = start_command_until_full(output, errors)
    process.join(300)
    said = errors.read_text()
    assert process.exitcode == 2, said
    (line,) = [line for line in said.splitlines() if not line.startswith("step ")]
    assert line.startswith(f"openmova: the disk of {str(output)!r} is full: free some room")
    assert [p.name for p in output.glob("checkpoint-*")] == ["checkpoint-2"]

    told = tmp_path / "told"
    finish(start(output, FAST, told=told))
    assert told.read_text().splitlines()[0] == "going on from checkpoint-2"
    assert weights(output)

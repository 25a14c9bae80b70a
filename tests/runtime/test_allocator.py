"""Memory that was freed goes back to the system, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from openmova.runtime.allocator import give_memory_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "set":
    assert give_memory_back()
for _ in range(2):  # glibc maps no block by itself that is as large as one that was freed
    blocks = [b"x" * 2_000_000 for _ in range(50)]
    above = [b"y" * 100_000 for _ in range(10)]
    before = resident()
    del blocks
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_blocks_are_given_back_though_small_ones_lie_above_them() -> None:
    def given_back(mode: str) -> int:
        run = [sys.executable, "-c", PROGRAM, mode]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    assert given_back("as it comes") < 10_000_000 < 90_000_000 < given_back("set")

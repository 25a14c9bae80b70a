"""Tiny models gain nothing from many threads, and lose much where other work shares the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

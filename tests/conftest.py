"""Tiny models gain nothing from many threads, and lose much where other work shares the cores.

OPENMOVA_DEVICE=cuda runs the tests of model, routing, loading and parity there; the parity of
encoders and adapter holds in OPENMOVA_DTYPE=bfloat16 too (benchmarks/accelerator.sh runs both).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if "OPENMOVA_DEVICE" in os.environ:
    torch.set_default_device(os.environ["OPENMOVA_DEVICE"])
    torch.backends.cudnn.allow_tf32 = False  # float32 is to be float32
if "OPENMOVA_DTYPE" in os.environ:
    torch.set_default_dtype(getattr(torch, os.environ["OPENMOVA_DTYPE"]))

"""Every encoder of the paper at full size and true resolution: parameters, map, seconds, memory.

    python benchmarks/encoders.py                       # all, bfloat16, on the GPU if there is one
    python benchmarks/encoders.py sam dinov2 --dtype float32 --device cpu

Weights are random: sizes and times do not depend on them. Each encoder runs in its own process,
from a raw picture of 1536 x 1024 pixels, once to warm up and then `--repeats` times; the median is
told, and the peak memory of the process (host), less what it was before the encoder was built.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from openmova.checkpoints.mova_specs import CLIP, pool


def specs() -> dict[str, dict[str, Any]]:
    """The base and the seven experts, by name."""
    return {spec["name"]: spec for spec in (CLIP, *pool())}


def measure(name: str, dtype_name: str, device: str, repeats: int) -> dict[str, Any]:
    """Build one encoder, run it, and tell what that took."""
    import torch

    from openmova.experts.registry import build_expert

    dtype = getattr(torch, dtype_name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.manual_seed(0)
    with torch.device("meta"):  # no time for a random start that is written over
        shapes = build_expert(specs()[name]).to(dtype)
    encoder = shapes.to_empty(device=device)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.02)
    picture = torch.randint(0, 256, (1, 3, 1024, 1536), dtype=torch.uint8, device=device)
    sizes = torch.tensor([[1024, 1536]])
    seconds: dict[str, list[float]] = {"view": [], "encoder": []}

    def timed(stage: str, work: Any) -> Any:
        start = time.perf_counter()
        result = work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds[stage].append(time.perf_counter() - start)
        return result

    with torch.inference_mode():
        for _ in range(repeats + 1):
            view = timed("view", lambda: encoder.view(picture, sizes).to(dtype))
            features = timed("encoder", lambda view=view: encoder(view))
    assert bool(features.isfinite().all())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "name": name,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "input": list(view.shape[1:]),
        "map": list(features.shape[1:]),
        "view_seconds": statistics.median(seconds["view"][1:]),
        "seconds": statistics.median(seconds["encoder"][1:]),
        "host_gb": peak / 2**20,
        **({"gpu_gb": torch.cuda.max_memory_allocated() / 2**30} if "cuda" in device else {}),
    }


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(specs())}")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        (name,) = arguments.names
        row = measure(name, arguments.dtype, arguments.device, arguments.repeats)
        print(json.dumps(row))
        return
    print(f"{arguments.dtype} on {arguments.device}, {torch.get_num_threads()} threads")
    print("| encoder | parameters | input | map (C x H x W) | view, s | encoder, s | memory, GB |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.names or specs():
        command = [sys.executable, __file__, name, "--one", "--dtype", arguments.dtype]
        command += ["--device", arguments.device, "--repeats", str(arguments.repeats)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        memory = row.get("gpu_gb", row["host_gb"])
        print(
            f"| {name} | {row['parameters'] / 1e6:.0f} M | {'x'.join(map(str, row['input']))} "
            f"| {' x '.join(map(str, row['map']))} | {row['view_seconds']:.2f} "
            f"| {row['seconds']:.2f} | {memory:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

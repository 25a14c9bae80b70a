"""The training loop of every stage: AdamW, cosine schedule, checkpoints that survive a kill.

Batches are made from (seed, step), so a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

STATE = ("step", "exp_avg", "exp_avg_sq")
"""What the optimizer keeps of each parameter."""


def write_tensors(path: Path, tensors: dict[str, Tensor], **metadata: str) -> None:
    """Writes a safetensors file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=metadata)
    partial.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file and its metadata."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Reads a safetensors file's metadata alone."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def schedule(step: int, steps: int, warmup: int = 100) -> float:
    """Linear warm-up, then cosine to zero: the factor on the learning rate."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def fit(
    name: str,
    model: nn.Module,
    loss_of: Callable[[int], tuple[Tensor, dict[str, float]]],
    *,
    steps: int,
    lr: float,
    folder: Path,
    weight_decay: float = 0.01,
    rate: Callable[[str], float] = lambda _: 1.0,
    save_seconds: float = 60.0,
) -> None:
    """Trains the parameters of ``model`` that require a gradient.

    Args:
        name: of the stage; its checkpoint is ``folder/name.safetensors``.
        loss_of: step -> (loss, figures to show).
        rate: of the learning rate, what the parameter of this name learns at.
    """
    path = folder / f"{name}.safetensors"
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if rate(n) == share], "rate": share}
        for share in dict.fromkeys(rate(n) for n, _ in named)
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)
    start = int(read_metadata(path)["step"]) if path.exists() else 0
    if start:
        load_trained(model, path)
    if 0 < start < steps:
        _resume(path, named, optimizer)
    saved = time.monotonic()
    bar = tqdm(range(start, steps), desc=name, initial=start, total=steps, mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = lr * group["rate"] * schedule(step, steps)
        loss, figures = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            bar.set_postfix(
                loss=f"{loss.item():.3f}", **{k: f"{v:.3f}" for k, v in figures.items()}
            )
        if time.monotonic() - saved > save_seconds or step == steps - 1:
            _save(path, model, named, optimizer, step + 1)
            saved = time.monotonic()


def _trained(model: nn.Module, named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """What a checkpoint holds: trained parameters, and buffers such as batch norm's averages."""
    return {n: p.detach() for n, p in named} | {
        n: b for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var"))
    }


def _save(
    path: Path,
    model: nn.Module,
    named: list[tuple[str, nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    tensors = {f"model/{n}": t for n, t in _trained(model, named).items()}
    for n, p in named:
        if state := optimizer.state.get(p):  # an expert that nobody has needed yet has none
            tensors |= {f"{key}/{n}": state[key] for key in STATE}
    write_tensors(path, tensors, step=str(step))


def _resume(
    path: Path, named: list[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer
) -> None:
    tensors, _ = read_tensors(path)
    for n, p in named:
        if f"exp_avg/{n}" in tensors:
            optimizer.state[p] = {key: tensors[f"{key}/{n}"] for key in STATE}


def is_done(name: str, folder: Path, steps: int) -> bool:
    """Whether this stage has run all its steps."""
    path = folder / f"{name}.safetensors"
    return path.exists() and int(read_metadata(path)["step"]) >= steps


def load_trained(model: nn.Module, path: Path) -> None:
    """Loads what a stage trained; raises KeyError for names that the model does not have."""
    tensors, _ = read_tensors(path)
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for key, value in tensors.items():
            if key.startswith("model/"):
                own[key.removeprefix("model/")].copy_(value)

"""openmova doctor: what a model needs and what this machine has, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.console import quiet_libraries, status
from openmova.cli.options import AsJson
from openmova.errors import UserError

if TYPE_CHECKING:
    from openmova.checkpoints.memory import Needs
    from openmova.model.configuration_mova import MovaConfig

EXAMPLES = """\b
Examples:
  openmova doctor
  openmova doctor --model zongzhuofan/llama3-mova-8b
  openmova doctor --model recipes/mova-34b.yaml
  openmova doctor --model nano --costs
  openmova doctor --model path/to/checkpoint --tokens 4096 --json"""
NAMES = {"bf16": "bf16", "8bit": "8-bit", "4bit": "4-bit"}


def doctor(
    model: Annotated[
        str,
        typer.Option(
            help="'nano', the folder of a checkpoint (the release's too), a recipe of `openmova "
            "assemble`, or owner/name on the hub."
        ),
    ] = "nano",
    tokens: Annotated[
        int, typer.Option(help="Tokens of prompt and answer that are kept in mind.", min=1)
    ] = 2048,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs",
            help="Also operations and seconds of each expert for one picture, as a budget counts "
            "them: the first time each is read and run.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell a model's parameters and memory, part by part, and where it fits.

    Nothing is loaded, but with --costs. Weights and the cache of keys and values are counted; a
    tenth of every memory is left free for what a forward pass needs besides.
    """
    with status(f"looking at {model}"):
        from openmova.checkpoints.memory import COMMON_GIB, GIB, measure
        from openmova.checkpoints.sizes import find_config

        quiet_libraries()
        config, folder = find_config(model)
        needs = measure(config, folder, tokens=tokens)
        machine = _machine()
        known = _costs(config, folder) if costs else {}
    places = [(place, size, place != "host memory") for place, size in machine["memory"].items()]
    places += [(f"a GPU of {size} GiB", size * GIB, True) for size in COMMON_GIB]
    fits = {
        place: [_mode(*way) for way in needs.fitting(size, offload=gpu)]
        for place, size, gpu in places
    }
    if as_json:
        report = _report(model, config, needs, machine, fits)
        typer.echo(json.dumps(report | ({"costs": known} if costs else {}), ensure_ascii=False))
    else:
        _show(model, needs, machine, fits)
        if costs:
            _show_costs(known)
        if str(config.dtype).endswith("float32"):
            typer.echo(
                "This checkpoint is in float32: what is in bf16 above needs --dtype bfloat16."
            )


def _machine() -> dict[str, Any]:
    """Versions of what computes, the size of every memory in bytes, the type of products."""
    import importlib.util
    import platform
    from importlib.metadata import version

    import psutil
    import torch

    from openmova.inference.fast_linear import multiplies_in_bfloat16
    from openmova.model.quantization import QUANTIZATIONS

    memory = {}
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        memory[f"cuda:{index} ({found.name})"] = found.total_memory
    memory["host memory"] = psutil.virtual_memory().total
    packages = sorted({way.package for way in QUANTIZATIONS.values()})
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "extras": {name: importlib.util.find_spec(name) is not None for name in packages},
        "memory": memory,
        "products": "bfloat16" if multiplies_in_bfloat16() else "float32",
    }


def _costs(config: MovaConfig, folder: Path | None) -> dict[str, dict[str, Any]]:
    """Of every expert, where the model would run."""
    import torch

    from openmova.experts.pool import ExpertPool

    if folder is None or not (folder / "experts").is_dir():
        raise UserError("--costs runs the experts: give --model a checkpoint that is here")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = config.dtype or torch.float32
    return {  # a pool for each, so that one is in memory at once
        name: asdict(ExpertPool(config.experts, folder).to(device, dtype).cost(j))
        for j, name in enumerate(config.expert_names)
    }


def _show_costs(costs: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("expert", "10^9 operations", "seconds")
    for name, cost in costs.items():
        count = cost["operations"]
        operations = "not counted" if count is None else f"{count / 1e9:.3g}"
        table.add_row(name, operations, f"{cost['seconds']:.3g}")
    table.caption = "for one picture, a page of text; what runs an ONNX graph is not counted"
    Console().print(table)


def _mode(mode: str, offload: bool) -> str:
    return f"{mode}+offload" if offload else mode


def _report(
    model: str,
    config: MovaConfig,
    needs: Needs,
    machine: Mapping[str, Any],
    fits: Mapping[str, list[str]],
) -> dict[str, Any]:
    ways = [(mode, offload) for mode in NAMES for offload in (False, True)]
    return {
        "model": model,
        "dtype": None if config.dtype is None else str(config.dtype).removeprefix("torch."),
        "parameters": sum(part.parameters for part in needs.parts),
        "parts": [asdict(part) for part in needs.parts],
        "cache": {"tokens": needs.tokens, "bytes": needs.cache_bytes},
        "total_bytes": {_mode(*way): needs.total(way[0], offload=way[1]) for way in ways},
        "machine": machine,
        "fits": fits,
    }


def _show(
    model: str, needs: Needs, machine: Mapping[str, Any], fits: Mapping[str, list[str]]
) -> None:
    console = Console()
    parts = Table(f"{model}: part", "parameters", *NAMES.values())
    for part in needs.parts:
        label = part.name if part.name == part.part else f"{part.part}: {part.name}"
        sizes = (_gib(part.bytes[mode]) for mode in NAMES)
        parts.add_row(label, f"{part.parameters / 1e6:,.1f} M", *sizes)
    cache = _gib(needs.cache_bytes)
    parts.add_row(f"keys and values of {needs.tokens} tokens", "", *[cache] * len(NAMES))
    parts.add_section()
    count = f"{sum(part.parameters for part in needs.parts) / 1e6:,.1f} M"
    for name, offload in (("all", False), ("all, with --offload", True)):
        sizes = (_gib(needs.total(mode, offload=offload)) for mode in NAMES)
        parts.add_row(name, count, *sizes)
    parts.caption = "GiB on the device; activations are not in it"
    console.print(parts)
    places = Table("memory", "size", "what fits")
    for place, ways in fits.items():
        size = _gib(machine["memory"][place]) if place in machine["memory"] else ""
        places.add_row(place, size, ", ".join(ways) or "nothing")
    places.caption = "a tenth is left free; offloaded experts take host memory instead"
    console.print(places)
    lacking = [name for name, there in machine["extras"].items() if not there]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    console.print(f"Python {machine['python']}, {versions}")
    console.print(f"faster products of a float32 model here: {machine['products']}, which are used")
    for name in lacking:
        console.print(f'not installed: {name} (pip install "openmova\\[{name}]")')


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"

"""Options that several commands share, and the model that is meant by those of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetch_model, quiet_libraries, status

if TYPE_CHECKING:
    from openmova.data.sources import Samples
    from openmova.inference.mova import Mova
    from openmova.runtime.run_store import Journal

Yes = Annotated[bool, typer.Option("--yes", help=YES_HELP)]
AsJson = Annotated[
    bool, typer.Option("--json", help="The last line is one JSON object with all figures.")
]
MaxNewTokens = Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Samples computed at once.", min=1)]
SampleCount = Annotated[
    int | None, typer.Option(help="Of --data: ask only so many, evenly spaced.", min=1)
]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Keep every answer there; the same command goes on where it was stopped.",
    ),
]
DATA_HELP = (
    "LLaVA JSON, JSONL, parquet, tar shards ('shards/*.tar'), a folder of one of them, or "
    "hub:owner/name."
)
ImageFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where paths of pictures start. [default: the data's folder]"),
]
DataFormat = Annotated[
    str | None, typer.Option(help="json, jsonl, parquet, tar or saved. [default: by the name]")
]
BadShare = Annotated[
    float, typer.Option(help="Of bad samples; with more, exit code 2.", min=0.0, max=1.0)
]
ExpertNames = Annotated[
    str | None,
    typer.Option(
        "--experts",
        help="Experts in place of the router's choice: names with commas, 'all' or 'none'.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, where, and in which numbers."""

    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano"
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:1; the GPU if there is one.")
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            help="bfloat16, float16 or float32; as in the checkpoint, with products in bfloat16 "
            "where the processor has them."
        ),
    ] = None
    quantize: Annotated[
        str | None, typer.Option(help="The language model in '8bit', '4bit' or 'torchao-8bit'.")
    ] = None
    offload: Annotated[
        bool, typer.Option("--offload", help="Keep experts that don't run in host memory.")
    ] = False
    device_map: Annotated[
        str | None, typer.Option(help="'auto' spreads the model over GPUs and host memory.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="Threads on a processor; all its cores.", min=1)
    ] = None
    yes: Yes = False

    def load(self) -> Mova:
        """Raises UserError where there is no such model, or it does not fit the options."""
        folder = fetch_model(self.model, yes=self.yes)
        with status(f"loading {self.model}"):
            import torch

            from openmova.inference.mova import Mova
            from openmova.runtime.allocator import give_memory_back

            give_memory_back()
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            quiet_libraries()
            return Mova.from_pretrained(
                folder,
                device=self.device,
                dtype=self.dtype,
                quantization=self.quantize,
                offload=self.offload,
                device_map=self.device_map,
            )

    def settings(self) -> dict[str, Any]:
        """What the answers depend on, to be noted: the weights, and numbers that aren't theirs."""
        from openmova.runtime.run_store import fingerprint

        numbers = {"dtype": self.dtype, "quantize": self.quantize}
        folder = fetch_model(self.model, yes=self.yes)
        with status(f"reading {self.model}"):
            weights = fingerprint(folder)
        return {"weights": weights, **{key: word for key, word in numbers.items() if word}}

    def resolve(self) -> Self:
        """With the whole path of a model that is a folder, for other processes."""
        path = Path(self.model)
        return replace(self, model=str(path.resolve())) if path.exists() else self


def takes_model(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose argument `model_options` is made of these options."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["model_options"]
    shared = inspect.signature(ModelOptions, eval_str=True).parameters
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own.values(), *shared.values())
    ]

    @wraps(command)
    def run(**arguments: Any) -> None:
        options = {field.name: arguments.pop(field.name) for field in fields(ModelOptions)}
        command(**arguments, model_options=ModelOptions(**options))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def measured(
    options: ModelOptions,
    settings: dict[str, Any],
    folder: Path | None,
    measure: Callable[[Samples, Journal], dict[str, Any]],
) -> dict[str, Any]:
    """What `measure` finds in labelled data; of a finished run in the folder, what that has found.

    settings: all that it depends on but the model, "data" and "images" among them.
    """
    data = settings["data"]
    with status(f"opening {data}"):
        from openmova.data.formats import read_samples
        from openmova.runtime.run_store import Journal

        samples = read_samples(data, images=settings["images"])
    if folder is not None:
        settings = {**settings, "checksums": _checksums(data), **options.settings()}
    with Journal.opened(folder, settings, model=options.model) as journal:
        if (found := journal.result) is None:
            found = measure(samples, journal)
            journal.finish(found)
    return found


def _checksums(data: str) -> list[str]:
    """Of the files that the data is in; none where it is on the hub."""
    from openmova.runtime.run_store import fingerprint

    if data.startswith(("hub:", "stream:")):
        return []
    path = Path(data).expanduser()
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    return [fingerprint(file) for file in files]

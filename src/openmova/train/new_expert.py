"""An expert that is added to a trained model learns its place: `openmova add-expert --data FILE`.

First what the adapter reads in its map, and its column of each gate (stage expert), if it does not
speak in words that the adapter reads already; then the router, in its LoRA, on routing instructions
over the grown pool (stage router-lora).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from openmova.checkpoints.add_expert import PROCESSOR
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.source_files import optional_json, read_json
from openmova.data.bad_samples import BadSamples
from openmova.data.descriptions import PoolDescriptions
from openmova.data.formats import read_samples
from openmova.data.records import write_llava
from openmova.data.routing_instructions import routing_instructions
from openmova.data.sample import Sample
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.runtime.files import write_text
from openmova.train.progress import Tell
from openmova.train.training import train
from openmova.train.training_recipe import load_recipe

EXTRACTOR_RATE = 1e-3
ROUTER_RATE = 2e-4


def train_new_expert(
    conversion: Conversion, output: Path, data: str, changes: Sequence[str], *, tell: Tell
) -> list[str]:
    """Write the grown model, train it, and put it at `output`; returns what was trained.

    The runs are in the folder `output`.training; the same call goes on where they were stopped.
    changes: of both recipes. data: samples with an experts list. The router learns only if some of
    them are not for the new expert: else it would learn to choose it always.
    Raises UserError as `Conversion.write` and `train` do, and for data that never names the expert.
    """
    samples = read_samples(data)
    name = conversion.about["pool"][-1]
    known = (samples.get(index) for index in range(len(samples)))
    lists = [s.experts for s in known if isinstance(s, Sample) and s.experts is not None]
    if not any(name in experts for experts in lists):
        raise UserError(f"no sample of {samples.name} names {name} in its experts list: label some")
    work = output.with_name(f"{output.name}.training")
    grown = work / "grown"
    if not grown.exists():
        conversion.write(grown)
    elif optional_json(grown / "conversion.json").get("added") != conversion.about["added"]:
        raise UserError(f"{str(work)!r} is of another expert: remove it, or give another --output")

    def run(stage: str, start: Path, path: str, **settings: Any) -> Path:
        recipe = {"stage": stage, "model": str(start), "data": [{"path": path}], **settings}
        file = work / f"{stage}.yaml"
        write_text(file, yaml.safe_dump(recipe, sort_keys=False))
        return train(load_recipe(file, changes), work / stage, resume=True, tell=tell)

    trained: list[str] = []
    final = grown
    if conversion.about["reads_like"] is None:
        trained.append("its extractor and gate column")
        final = run("expert", grown, data, learning_rate=EXTRACTOR_RATE)
    if all(name in experts for experts in lists):
        tell(f"every sample is for {name}: the router stays as it is; add others to train it too")
    else:
        config = MovaConfig.from_pretrained(grown)
        pool = PoolDescriptions.of_model(config)
        write_llava(routing_instructions(samples, pool, bad=BadSamples()), work / "routing.json")
        lora = config.routing.lora
        own = {} if lora is None else {"lora": {**vars(lora), "targets": list(lora.targets)}}
        instructions = str(work / "routing.json")
        mark_as_learned(final, name)
        final = run("router-lora", final, instructions, learning_rate=ROUTER_RATE, **own)
        trained.append("the router")
    final.rename(output)
    for before in (grown, work / "expert" / "final"):
        shutil.rmtree(before, ignore_errors=True)
    return trained


def mark_as_learned(folder: Path, name: str) -> None:
    """In a model's folder: the router learns this expert and reads its line."""
    stated = read_json(folder / "config.json")
    rules = stated["routing"]
    rules["unlearned"] = [other for other in rules.get("unlearned", []) if other != name]
    write_text(folder / "config.json", json.dumps(stated, indent=2, ensure_ascii=False))
    shown = {"descriptions": MovaConfig.from_pretrained(folder).routing_pool}
    processor = read_json(folder / PROCESSOR) | shown
    write_text(folder / PROCESSOR, json.dumps(processor, indent=2, ensure_ascii=False))

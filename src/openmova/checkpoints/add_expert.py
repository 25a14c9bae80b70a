"""A model's pool with one expert more: its letter, its line in the routing prompt, its file, and in
the adapter an extractor and a column of each gate, which begin as those of a fresh adapter.

Words are read the same way, whoever says them: where the pool has an expert that says in words, a
new one has the codes of the pool and begins with that expert's extractors.

All other tensors are copied as they are, so a routing without the new expert gives the same bits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.random import fork_rng
from transformers import AutoTokenizer

from openmova.checkpoints.assemble import ADAPTER, EMBEDDING, fetch_encoder, find_encoder, local
from openmova.checkpoints.conversion import Conversion, copy_small_files
from openmova.checkpoints.encoders import is_own_encoder
from openmova.checkpoints.plan import Part, expert_place, join_parts
from openmova.checkpoints.recipe import EncoderEntry, encoder_entry
from openmova.checkpoints.source_files import optional_json, read_json
from openmova.checkpoints.tensors import PICKLES, Tensors, open_tensors
from openmova.errors import UserError
from openmova.experts.pool import weights_file
from openmova.experts.registry import expert_class, known_kinds
from openmova.experts.token_codes import WordExpert
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import expert_letters
from openmova.runtime.yaml_config import build, read_yaml

SPEC_ENDINGS = (".yaml", ".yml", ".json")
FILE_ENDINGS = (*SPEC_ENDINGS, ".safetensors", *PICKLES)
PROCESSOR = "processor_config.json"
SHARED = ("tokenizer", "width", "grid")
"""Keywords that experts which say in words have in common."""


def named_expert(given: str, description: str) -> EncoderEntry:
    """What a user calls an expert, as an entry of a recipe.

    given: a file with the keys of such an entry (of its spec, and source), a kind that brings its
    weights, or a source: the folder of a vision model of transformers, or a checkpoint that
    `openmova assemble` reads. description: what the router reads; those of the file are paraphrases
    for its training.
    """
    path = Path(given).expanduser()
    keys: dict[str, Any] = {"name": path.stem if path.suffix in FILE_ENDINGS else path.name}
    if path.suffix in SPEC_ENDINGS and not path.is_dir():
        keys |= read_yaml(path)
    elif given in known_kinds() and not path.exists():
        keys["kind"] = given
    else:
        path = local(given)
        keys["source"] = str(path)
        if optional_json(path / "config.json") and not is_own_encoder(path):
            keys["kind"] = "hf"
    others = keys.get("descriptions") or []
    keys["descriptions"] = [description, *([others] if isinstance(others, str) else others)]
    return build(EncoderEntry, encoder_entry(keys))


def plan_addition(folder: Path, entry: EncoderEntry) -> Conversion:
    """Look at a model's folder and at the expert to add, without reading their weights."""
    old = MovaConfig.from_pretrained(folder)
    names = old.expert_names
    if not names:
        raise UserError(
            f"{folder.name} has no pool of experts to add to: assemble one with experts"
        )
    if entry.name in names:
        raise UserError(
            f"{folder.name} has an expert {entry.name!r} already: name the new one otherwise, as "
            "name in a file with its spec"
        )
    letter = expert_letters(len(names) + 1)[-1]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(letter, add_special_tokens=False)
    if tokenizer.decode(ids, skip_special_tokens=True).strip() != letter:
        raise UserError(
            f"the model's tokenizer has no letter for another expert, it can't write {letter}: "
            f"{len(names)} are the most"
        )
    stored = open_tensors(folder)
    like = word_expert_like(entry, old.experts)
    if like is not None:
        shared = {key: old.experts[like][key] for key in SHARED if key in old.experts[like]}
        entry = replace(entry, changes={**shared, **entry.changes})
    words_at = None if like is None else folder
    part = find_encoder(fetch_encoder(entry), stored.get(EMBEDDING), words_at)
    stated = read_json(folder / "config.json")
    stated["experts"].append(part.spec)
    stated["adapter"]["expert_channels"].append(part.channels)
    stated["routing"]["unlearned"] = [*old.routing.unlearned, entry.name]
    config = MovaConfig.from_dict(json.loads(json.dumps(stated)))
    grown = grow_adapter(stored, config.adapter, like)
    same = {name: tensor for name, tensor in stored.items() if name not in grown}
    parts = {
        "model": Part.of(Tensors(same, stored.files, stored.sizes)),
        "adapter": Part.of(Tensors(grown, "an adapter that grew")),
        f"experts/{entry.name}": part.at(expert_place(entry.name, "")),
    }
    for name in names:
        if (file := weights_file(folder, name)).is_file():
            parts[f"experts/{name}"] = Part.of(open_tensors(file)).at(expert_place(name, ""))

    def write_small_files(target: Path) -> None:
        part.save_files(target)
        copy_small_files(folder, target, plan)
        processor = read_json(folder / PROCESSOR) | {"descriptions": config.routing_pool}
        for name, content in (("config.json", stated), (PROCESSOR, processor)):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (target / name).write_text(text, encoding="utf-8")

    plan = join_parts(parts).plan()
    return Conversion(
        title=f"a model with the expert {entry.name}",
        plan=plan,
        about={
            "pool": config.expert_names,
            "added": part.spec,
            "reads_like": None if like is None else names[like],
        },
        write_small_files=write_small_files,
    )


def word_expert_like(entry: EncoderEntry, pool: Sequence[Mapping[str, Any]]) -> int | None:
    """The place in the pool of an expert that says in words, if the new one does."""
    if entry.kind is None or not issubclass(expert_class(entry.kind), WordExpert):
        return None
    kinds = [expert_class(spec["kind"]) for spec in pool]
    return next((j for j, kind in enumerate(kinds) if issubclass(kind, WordExpert)), None)


def grow_adapter(
    stored: Mapping[str, Tensor], config: AdapterConfig, like: int | None = None
) -> dict[str, Tensor]:
    """The tensors of the adapter that are new or have a row more, of those stored of a model.

    config: of the grown adapter, whose last expert is the new one. like: the expert whose
    extractors it begins with.
    """
    with fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = MoVAdapter(config).state_dict()
    new = f".extractors.{len(config.expert_channels) - 1}."
    grown = {}
    for name, tensor in fresh.items():
        old = stored.get(ADAPTER + name)
        if old is not None and old.shape != tensor.shape:  # a gate's score
            grown[ADAPTER + name] = torch.cat([old, tensor[len(old) :].to(old.dtype)])
        elif old is None and new in name and like is not None:
            grown[ADAPTER + name] = stored[ADAPTER + name.replace(new, f".extractors.{like}.")]
        elif old is None and new in name:
            grown[ADAPTER + name] = tensor.to(stored[f"{ADAPTER}position"].dtype)
    return grown

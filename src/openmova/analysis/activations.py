"""What the model makes of a data set inside, as a table that other tools read.

A row a sample: id, domain, question; experts: the router's choice; score_<expert>; gate_<expert>,
its weight in each block; tokens: the image tokens that the language model gets, flat, of the shape
[N, D] that the file's metadata has under "tokens", all zero where a cell gives none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from openmova.analysis.data_inspection import LEFT_OUT, conversation, nothing_asked, sample_rows
from openmova.data.contact_sheet import evenly
from openmova.data.sample import Sample
from openmova.data.sources import Samples
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.routing.selection import ExpertSelection
from openmova.runtime.files import new_file


def dump_activations(
    mova: Mova, samples: Samples, path: Path, *, most: int | None = None, batch: int = 8
) -> int:
    """Write the table of every sample that can be asked, or of `most`; returns how many rows.

    Raises UserError if there is none, and OSError.
    """
    indices = evenly(len(samples), most or len(samples))
    adapter = mova.model.config.adapter
    shape = [adapter.tokens, adapter.output_width]
    floats = pa.float32()
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "domain", "question")),
            ("experts", pa.list_(pa.string())),
            *((f"score_{name}", floats) for name in mova.experts),
            *((f"gate_{name}", pa.list_(floats)) for name in mova.experts),
            ("tokens", pa.list_(floats, shape[0] * shape[1])),
        ],
        metadata={"tokens": json.dumps(shape)},
    )
    written, why = 0, ""
    with new_file(path) as unfinished:
        with pq.ParquetWriter(unfinished, schema) as writer:
            for start in tqdm(range(0, len(indices), batch), desc=samples.name, mininterval=2):
                part = indices[start : start + batch]
                rows = sample_rows(mova, samples, partial(_rows, mova), part)
                good = [row for row in rows if LEFT_OUT not in row]
                why = next((row[LEFT_OUT] for row in rows if LEFT_OUT in row), why)
                writer.write_table(pa.Table.from_pylist(good, schema))
                written += len(good)
        if not written:
            raise nothing_asked(samples, why)
    return written


def _rows(mova: Mova, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    selections = [ExpertSelection()] * len(samples)
    turns = [conversation(mova, sample) for sample in samples]
    inputs = mova.prepare(turns, selections, GenerationLimits(max_new_tokens=1))
    context = mova.model.encode_images(inputs, selections=selections)
    return [
        {
            "id": sample.id,
            "domain": sample.domain,
            "question": sample.question,
            "experts": list(routing.experts),
            **{f"score_{name}": routing.scores[name] for name in mova.experts},
            **{
                f"gate_{name}": of
                for name, of in zip(mova.experts, gates.float().T.tolist(), strict=True)
            },
            "tokens": tokens.float().flatten().cpu().numpy(),
        }
        for sample, routing, gates, tokens in zip(
            samples, context.routing, context.gates, context.tokens, strict=True
        )
    ]

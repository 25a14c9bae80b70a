"""The words of image tokens: the nearest embedding, what the head reads; the dump of a data set."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from commands import fault
from data.files import llava
from openmova.analysis.activations import dump_activations
from openmova.analysis.lens import token_words
from openmova.data.formats import read_samples
from openmova.inference.mova import Mova
from openmova.routing.selection import ExpertSelection

POOL = ("text", "chart", "location")


def test_a_token_that_is_a_word_is_nearest_to_it(
    listening_mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = listening_mova.model.model
    embeddings = listening_mova.model.get_input_embeddings().weight
    tokenizer = listening_mova.processor.tokenizer
    ids = tokenizer.convert_tokens_to_ids(list("abcd" * 4))
    spoken = 3 * embeddings[ids].detach()[None]  # longer, of the same direction
    spoken[0, 1] = 0  # as a cell that gives no token
    fuse = core.fuse

    def fused(*given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return spoken, fuse(*given)[1]

    monkeypatch.setattr(core, "fuse", fused)
    (found,) = token_words(listening_mova, picture, "What?", [()])
    (grid,) = found["input"]
    assert grid == [["a", "", "c", "d"], *[list("abcd")] * 3]
    (later,) = found["logit lens"]
    assert [len(row) for row in later] == [4] * 4


def test_the_lens_reads_a_layer_as_if_it_were_the_last(
    listening_mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    mova = listening_mova
    none, everything = token_words(mova, picture, "What?", [(), POOL])
    assert none != everything
    assert none == token_words(mova, picture, "What?", [()])[0]
    # With the layers after it gone, the layer that is read is the last one, its words the logits'.
    decoder = mova.model.model.language_model
    depth = int(0.75 * len(decoder.layers))
    monkeypatch.setattr(decoder.config, "num_hidden_layers", depth)
    inputs = mova.processor(
        images=[mova.processor.image_processor.picture(picture)],
        text=["<image>\nWhat?"],
        questions=["What?"],
        return_tensors="pt",
    )
    tokens = mova.model.encode_images(inputs, selections=[ExpertSelection(fixed=(False,) * 3)])
    logits = mova.model(inputs["input_ids"], image_tokens=tokens.tokens).logits
    at = inputs["input_ids"] == mova.model.config.image_token_id
    said = logits[at].argmax(dim=1).tolist()
    words = [mova.processor.tokenizer.decode([word]).strip() for word in said]
    assert [word for row in none["logit lens"][0] for word in row] == words


def test_a_dump_has_what_asking_gives(listening_mova: Mova, tmp_path: Path) -> None:
    mova = listening_mova
    Image.effect_noise((40, 30), 60).save(tmp_path / "0.png")
    records = [llava(f"<image>\nWhich {n}?", id=str(n), image="0.png") for n in range(3)]
    records.insert(1, llava(image="ghost.png"))
    data = tmp_path / "data.json"
    data.write_text(json.dumps(records))
    samples, path = read_samples(data), tmp_path / "dump.parquet"
    assert dump_activations(mova, samples, path, batch=2) == 3
    table = pq.read_table(path)
    assert json.loads(table.schema.metadata[b"tokens"]) == [16, 32]
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    answer = mova.ask(tmp_path / "0.png", "Which 2?", max_new_tokens=1)
    assert tuple(rows[2]["experts"]) == answer.routing.experts
    for name in mova.experts:
        assert rows[2][f"score_{name}"] == pytest.approx(answer.routing.scores[name], abs=1e-5)
        assert len(rows[2][f"gate_{name}"]) == 2
    assert len(rows[2]["tokens"]) == 16 * 32
    assert dump_activations(mova, samples, path, most=1) == 1

    data.write_text(json.dumps(records[1:2]))
    told = fault(dump_activations, mova, read_samples(data), tmp_path / "other.parquet")
    assert "no sample that can be asked, such as: there is no file" in told
    assert not (tmp_path / "other.parquet").exists()

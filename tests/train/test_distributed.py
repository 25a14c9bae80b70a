"""Two processes with one batch each compute what one process does with two, sharded or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from train.runs import (
    FAST,
    HELD_OUT,
    assert_close,
    assert_same_log,
    finish,
    run,
    start,
    weights,
)

# Dropout has other random numbers in each process; the gate's text encoder is the only one with it.
STILL = [*FAST, *HELD_OUT, "evaluation.steps=4", "learning_rates.gate_text=0", "steps=4"]


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_accumulation(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(two, STILL, processes=2))
    run(one, *STILL, "accumulation=2")
    assert_close(one, two)
    assert_same_log(one, two)


# Few samples a step and much decay: an expert that no sample of a step chose would show it.
SPARSE = ["batch=1", "steps=4", "save_steps=4", "weight_decay=0.5"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([*STILL, *SPARSE, "gradient_checkpointing=true"], id="finetune"),
        pytest.param(
            [*FAST, *SPARSE, "stage=lora", "learning_rates={}"], id="lora", marks=pytest.mark.slow
        ),
    ],
)
def test_shares_of_two_processes_learn_as_one_process(tmp_path: Path, changes: list[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(two, [*changes, "sharding=fsdp"], processes=2))
    run(one, *changes, "accumulation=2")
    assert_close(one, two)
    assert_same_log(one, two)
    shares = [load_file(two / "checkpoint-4" / f"share-{rank}.safetensors") for rank in range(2)]
    of_all = weights(two)
    name = "model.adapter.blocks.1.mlp.down_proj.weight"
    assert torch.equal(torch.cat([share[name] for share in shares]), of_all[name])
    for kind in ("", " exp_avg", " exp_avg_sq"):
        assert 2 * len(shares[0][name + kind]) in (len(of_all[name]), len(of_all[name]) + 1)

"""The language model learns to answer from words: a LoRA, before any picture is seen.

    python -m studies.nano.language runs/nano/language --data runs/nano/data --steps 4000
    python -m studies.nano.language runs/nano/language --data runs/nano/data --evaluate 200

What the experts say of a picture, in the order of their rows in the map, stands where its image
tokens will stand; so what is learnt here holds for pictures once the adapter hands these tokens on.
The folder has the newest LoRA and the optimiser's state; a run that was stopped goes on, with the
batches that it would have had. Shapes: B rows, T tokens.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from openmova.checkpoints.nano import CHAT_TEMPLATE, language_model_folder
from openmova.errors import UserError
from openmova.evaluate.judge import judge
from openmova.runtime.files import new_file
from openmova.runtime.run_store import RunStore
from studies.nano.words import NAMES

TEXTS = ("text_2", "page_text")
"""Folders of read texts with their questions; the others hold pictures."""
PICTURES = ("photos", "places", "pairs", "signs", "kinds")
HELD_OUT = 50
"""Of each folder, the last of its dialogues: for the evaluation alone."""
TOKENS = 4096
"""Of a batch, padding included."""
DRAWN = 64
"""Dialogues drawn for a step; a group of like length is its batch."""
LONGEST = 1152
IGNORED = -100
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """Words about a picture, and questions with answers."""

    source: str
    words: str
    turns: tuple[tuple[str, str], ...]


def read_dialogues(data: Path) -> list[Dialogue]:
    """All dialogues of the data folders that are there, in a fixed order."""
    found: list[Dialogue] = []
    for name in TEXTS:
        for row in read_lines(data / name / "samples.jsonl"):
            turns = tuple((pair["question"], pair["answer"]) for pair in row["qa"])
            found.append(Dialogue(source=name, words=row["text"] + "\n", turns=turns))
    for name in PICTURES:
        said = {row["id"]: row for row in read_lines(data / name / "words.jsonl")}
        grouped: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in read_lines(data / name / "samples.jsonl"):
            picture = Path(row["images"][0]).stem
            experts = [e for e in NAMES if e in row["experts"]]
            if picture in said and experts and all(said[picture].get(e) for e in experts):
                words = "".join(said[picture][e] + "\n" for e in experts)
                grouped.setdefault((picture, words), []).append((row["question"], row["answer"]))
        for (_, words), turns_ in grouped.items():
            found.append(Dialogue(source=name, words=words, turns=tuple(turns_)))
    if not found:
        raise UserError(f"{str(data)!r} has no dialogues: run studies.nano.data and .words first")
    return found


def split(dialogues: Sequence[Dialogue]) -> tuple[list[Dialogue], list[Dialogue]]:
    """Those to learn from, and those held out: the last of each source."""
    learnt: list[Dialogue] = []
    held_out: list[Dialogue] = []
    for source in dict.fromkeys(d.source for d in dialogues):
        own = [d for d in dialogues if d.source == source]
        learnt += own[:-HELD_OUT]
        held_out += own[-HELD_OUT:]
    return learnt, held_out


def encode(
    tokenizer: PreTrainedTokenizerBase, dialogue: Dialogue, order: random.Random | None = None
) -> tuple[list[int], list[int]]:
    """Ids and labels of a dialogue, its turns shuffled; only answers have labels."""
    turns = list(dialogue.turns)
    if order is not None:
        order.shuffle(turns)
    ids: list[int] = []
    labels: list[int] = []
    for number, (question, answer) in enumerate(turns):
        asked = f"{dialogue.words}\n{question}" if number == 0 else question
        messages = [{"role": "user", "content": asked}]
        prompt = tokenizer.apply_chat_template(
            messages, chat_template=CHAT_TEMPLATE, tokenize=False, add_generation_prompt=True
        )
        before = tokenizer(prompt, add_special_tokens=False).input_ids
        after = tokenizer(f"{answer}<|im_end|>", add_special_tokens=False).input_ids
        end = tokenizer("\n", add_special_tokens=False).input_ids
        if len(ids) + len(before) + len(after) > LONGEST:
            break
        ids += [*before, *after, *end]
        labels += [*[IGNORED] * len(before), *after, *[IGNORED] * len(end)]
    return ids, labels


class Batches:
    """Batches of about TOKENS tokens: a pure function of the seed and the step."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, dialogues: Sequence[Dialogue], seed: int
    ) -> None:
        self._tokenizer = tokenizer
        self._by_source: dict[str, list[Dialogue]] = {}
        for dialogue in dialogues:
            self._by_source.setdefault(dialogue.source, []).append(dialogue)
        self._seed = seed

    def batch(self, step: int) -> dict[str, Tensor]:
        """input_ids, attention_mask and labels [B, T] of a step, padded on the right."""
        rng = random.Random(f"language-{self._seed}-{step}")
        sources = list(self._by_source)
        shares = [math.sqrt(len(self._by_source[source])) for source in sources]
        drawn = [
            encode(self._tokenizer, rng.choice(self._by_source[source]), rng)
            for source in rng.choices(sources, shares, k=DRAWN)
        ]
        # Rows of like length share a batch, so that little of it is padding.
        ordered = sorted((row for row in drawn if row[0]), key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for row in ordered:
            if len(row[0]) * (len(groups[-1]) + 1) > TOKENS:
                groups.append([])
            groups[-1].append(row)
        rows = rng.choices(groups, [sum(len(ids) for ids, _ in group) for group in groups])[0]
        longest = max(len(ids) for ids, _ in rows)
        pad = self._tokenizer.pad_token_id
        return {
            "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),
            "attention_mask": torch.tensor(
                [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows]
            ),
            "labels": torch.tensor(
                [labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]
            ),
        }


def load(folder: Path | None) -> tuple[Any, PreTrainedTokenizerBase]:
    """The language model in bfloat16 with a LoRA in float32, new or that of the folder."""
    source = language_model_folder()
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    if folder is not None and (folder / "adapter_config.json").is_file():
        lora = PeftModel.from_pretrained(model, folder, is_trainable=True)
    else:
        config = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")
        lora = get_peft_model(model, config)
    for parameter in lora.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return lora, tokenizer


def answer_loss(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """The mean loss of the answers' tokens; the head runs for these alone."""
    causal = model.get_base_model()
    # Rows are padded on the right, where causal attention does not look: no mask is needed.
    hidden = causal.model(input_ids=batch["input_ids"]).last_hidden_state
    targets = batch["labels"][:, 1:]
    kept = targets != IGNORED
    logits = causal.lm_head(hidden[:, :-1][kept]).float()
    return torch.nn.functional.cross_entropy(logits, targets[kept])


def train(
    folder: Path, data: Path, *, steps: int, rate: float, seed: int, minutes: float | None
) -> None:
    """Learn up to so many steps, or for so many minutes; then start the same command again."""
    store = RunStore(folder, "a training")
    settings = {"steps": steps, "rate": rate, "seed": seed, "tokens": TOKENS}
    with store.claim():
        store.begin(settings, program="python -m studies.nano.language")
        newest = folder / "newest"
        log = store.journal("log.jsonl")
        state = newest / "optimizer.safetensors"
        done = int(load_file(state)["step"]) if state.is_file() else 0
        log.rewind(lambda entry: entry["step"] <= done)
        torch.manual_seed(seed)
        model, tokenizer = load(newest)
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(parameters.values(), lr=rate, weight_decay=0.0)
        if done:
            restore(optimizer, parameters, load_file(state))
        batches = Batches(tokenizer, split(read_dialogues(data))[0], seed)
        began, model = time.time(), model.train()
        while done < steps and (minutes is None or time.time() - began < 60 * minutes):
            start, batch = time.time(), batches.batch(done)
            for group in optimizer.param_groups:
                group["lr"] = rate * _schedule(done, steps)
            with torch.autocast("cpu", torch.bfloat16):
                loss = answer_loss(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            tokens = int(batch["attention_mask"].sum())
            entry = {"step": done, "loss": round(loss.item(), 4), "tokens": tokens}
            log.append({**entry, "seconds": round(time.time() - start, 2)})
            print(entry, f"{time.time() - start:.1f} s", flush=True)
            if done % 25 == 0 or done == steps:
                _save(newest, model, optimizer, parameters, done)
        _save(newest, model, optimizer, parameters, done)


@torch.no_grad()
def evaluate(folder: Path, data: Path, count: int) -> dict[str, Any]:
    """Greedy answers to the first questions of held-out dialogues, judged; by source."""
    model, tokenizer = load(folder / "newest")
    model = model.merge_and_unload().eval()
    held_out = split(read_dialogues(data))[1]
    random.Random(0).shuffle(held_out)
    right: dict[str, list[bool]] = {}
    for dialogue in held_out[:count]:
        question, answer = dialogue.turns[0]
        asked = [{"role": "user", "content": f"{dialogue.words}\n{question}"}]
        prompt = tokenizer.apply_chat_template(
            asked, chat_template=CHAT_TEMPLATE, tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        made = model.generate(ids, max_new_tokens=48, do_sample=False, eos_token_id=end)
        said = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).strip()
        right.setdefault(dialogue.source, []).append(judge(said, [answer], question=question))
        print(json.dumps({"question": question, "expected": answer, "said": said}), flush=True)
    return {source: [sum(values), len(values)] for source, values in right.items()}


def _schedule(step: int, steps: int) -> float:
    """The share of the rate: up in 30 steps, then a cosine down to a tenth."""
    return min((step + 1) / 30, 0.55 + 0.45 * math.cos(math.pi * step / steps))


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _save(
    folder: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    step: int,
) -> None:
    """The LoRA, then the optimiser's state with the step, which makes it the newest."""
    model.save_pretrained(folder)
    state = {"step": torch.tensor(step)}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            state[f"{key}/{name}"] = value
    with new_file(folder / "optimizer.safetensors") as unfinished:
        save_file(state, unfinished)


def restore(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    for name, parameter in parameters.items():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            optimizer.state[parameter][key] = state[f"{key}/{name}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--evaluate", type=int, metavar="N", help="Ask N held-out questions.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.evaluate:
        print(json.dumps(evaluate(arguments.folder, arguments.data, arguments.evaluate)))
    else:
        train(
            arguments.folder,
            arguments.data,
            steps=arguments.steps,
            rate=arguments.rate,
            seed=arguments.seed,
            minutes=arguments.minutes,
        )


if __name__ == "__main__":
    main()

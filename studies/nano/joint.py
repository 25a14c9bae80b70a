"""All together: base, adapter and language model learn to answer and to route, on stored features.

    python -m studies.nano.joint runs/nano/joint --data runs/nano-data \\
        --language runs/nano/language --steps 400
    python -m studies.nano.joint runs/nano/joint --data runs/nano-data --evaluate 200

A row of a batch is what the model meets in use: the summary of the base map, the experts' words as
the adapter hands them on, questions and answers; or the routing prompt and the letters. Encoders
are frozen and have run before (studies.nano.encode, studies.nano.words); the adapter is that of
studies.nano.align, of which the summary learns. A run that was stopped goes on.

Shapes: B rows, T tokens, D width of the language model.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel

from openmova.checkpoints import nano_spec as spec
from openmova.checkpoints.nano import CHAT_TEMPLATE, IMAGE_TOKEN, nano_parts
from openmova.errors import UserError
from openmova.evaluate.judge import judge
from openmova.routing import expert_letters, format_routing, gate_text, routing_prompt
from openmova.runtime.files import new_file
from studies.nano import language
from studies.nano import said as made_up
from studies.nano.align import maps_of, new_adapter, new_neck, project, targets_of

TEXTS = {
    "text_2": ("receipts", "screens", "signs"),
    "page_text": ("pages",),
}
"""Folders of texts without pictures, and whose pictures stand for theirs."""
PICTURES = (
    *("kinds", "photos", "places", "signs", "pairs"),
    *("charts", "pages", "receipts", "screens", "reports"),
)
SHARES = {
    "object": 2.5, "location": 3.0,
    "text_2": 5.0, "page_text": 1.5, "kinds": 4.0, "photos": 2.0, "places": 1.5, "signs": 1.5,
    "pairs": 1.5, "charts": 3.5, "pages": 1.5, "receipts": 1.5, "screens": 1.5, "reports": 1.5,
    "routing": 40.0,
}  # fmt: skip
"""How often a row comes from each; "routing": any question, with the routing prompt; "object" and
"location": `studies.nano.said`."""
MADE_UP = 6000
"""Rows of each of these two."""
HELD_OUT = 40
"""Of each folder, the last of its rows: for the evaluation alone."""
EXPERTS = spec.EXPERTS
TOKENS, DRAWN, LONGEST = 2600, 48, 1100
MORE_EXPERTS = 0.12
"""How often a row has an expert more than its questions need."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture's base map by folder and place, what the experts say, questions with answers."""

    source: str
    place: tuple[str, int | None]
    """None: any of the folder's."""
    words: Mapping[str, str]
    others: Mapping[str, str]
    """What other experts would say."""
    turns: tuple[tuple[str, str], ...]
    is_routing: bool = False


def read_rows(data: Path) -> dict[str, list[Row]]:
    """All rows by source, in a fixed order."""
    rows: dict[str, list[Row]] = {name: [] for name in SHARES}
    for name, alike in TEXTS.items():
        for number, line in enumerate((data / name / "samples.jsonl").open(encoding="utf-8")):
            read = json.loads(line)
            turns = tuple((pair["question"], pair["answer"]) for pair in read["qa"])
            place = (alike[number % len(alike)], None)
            words = {"text": read["text"]}
            rows[name].append(Row(source=name, place=place, words=words, others={}, turns=turns))
    for name, make in (("object", made_up.object_row), ("location", made_up.location_row)):
        rng = random.Random(name)
        for _ in range(MADE_UP):
            text, asked = make(rng)
            place = (rng.choice(("photos", "places")), None)
            rows[name].append(
                Row(source=name, place=place, words={name: text}, others={}, turns=tuple(asked))
            )
    rng = random.Random(0)
    for name in PICTURES:
        order = {
            json.loads(line)["id"]: number
            for number, line in enumerate((data / name / "pictures.jsonl").open(encoding="utf-8"))
        }
        encoded = int((data / name / "base.done").read_text())
        said = {row["id"]: row for row in language.read_lines(data / name / "words.jsonl")}
        grouped: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
        for sample in language.read_lines(data / name / "samples.jsonl"):
            picture = Path(sample["images"][0]).stem
            experts = tuple(e for e in EXPERTS if e in sample["experts"])
            if order[picture] < encoded:
                asked_of = (name, order[picture])
                turns_of = ((sample["question"], _letters(experts)),)
                rows["routing"].append(
                    Row(source="routing", place=asked_of, words={}, others={}, turns=turns_of,
                        is_routing=True)
                )  # fmt: skip
            words_of = said.get(picture, {})
            if all(words_of.get(e) for e in experts):
                answer = made_up.answer_from(sample, words_of, rng)
                if answer is not None:
                    turn = (sample["question"], answer)
                    grouped.setdefault((picture, experts), []).append(turn)
        for (picture, experts), turns_ in grouped.items():
            all_words = {e: said.get(picture, {}).get(e) for e in EXPERTS}
            known = {e: text for e, text in all_words.items() if text}
            number = order[picture]
            own = number < encoded
            if not own and not experts:
                continue  # only the picture itself tells
            rows[name].append(
                Row(
                    source=name,
                    place=(name, number if own else None),
                    words={e: known[e] for e in experts},
                    others={e: text for e, text in known.items() if e not in experts},
                    turns=tuple(turns_),
                )
            )
    places = {"object": "photos", "location": "places", "chart": "charts", "layout": "pages"}
    for sample in language.read_lines(data / "routing" / "samples.jsonl"):
        experts = sample["experts"]
        where = next((places[e] for e in places if e in experts), "receipts")
        rows["routing"].append(
            Row(source="routing", place=(where, None), words={}, others={},
                turns=((sample["question"], _letters(experts)),), is_routing=True)
        )  # fmt: skip
    random.Random(0).shuffle(rows["routing"])
    if not any(rows.values()):
        raise UserError(f"{str(data)!r} has no rows: run studies/nano/data.sh first")
    return rows


def _letters(experts: Sequence[str]) -> str:
    return format_routing([EXPERTS.index(e) for e in experts], expert_letters(len(EXPERTS)))


class Model(nn.Module):
    """What is trained, and what stays: the base's projection and the gate's text encoder."""

    def __init__(self, lora: Path, data: Path, adapter: Path | None = None) -> None:
        super().__init__()
        self.lora, self.tokenizer = language.load(lora)
        self.adapter, self.neck = new_adapter(), new_neck(data)
        if adapter is not None:
            saved = load_file(adapter)
            self.adapter.load_state_dict(_under("adapter.", saved))
            self.neck.load_state_dict(_under("neck.", saved))
        folder = nano_parts().text_encoder
        self.question_tokenizer = AutoTokenizer.from_pretrained(folder)
        self.question_encoder = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.question_encoder.requires_grad_(False).eval()
        self.image_token = self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)

    @torch.no_grad()
    def question_feature(self, questions: Sequence[str]) -> Tensor:
        """The gate's question [B, 384]: of each row."""
        encoded = self.question_tokenizer(
            [gate_text([q]) for q in questions], padding=True, truncation=True, return_tensors="pt"
        )
        return self.question_encoder(**encoded).last_hidden_state[:, 0]

    def image_tokens(self, rows: Sequence[Row], maps: Tensor) -> list[Tensor]:
        """Each row's tokens [N_i, D]; of the adapter the summary alone learns."""
        with torch.no_grad():
            base = project(self.neck, maps.float())
            words, routing = maps_of([row.words for row in rows])
            text = self.question_feature([row.turns[0][0] for row in rows])
            tokens, _ = self.adapter(base, words, routing, text)
        summary = self.adapter.summarize(base)
        filled = targets_of([row.words for row in rows]) >= 0
        cells = tokens[:, summary.shape[1] :]
        return [
            torch.cat([first, rest[here]])
            for first, rest, here in zip(summary, cells, filled, strict=True)
        ]

    def embed(
        self, rows: Sequence[tuple[list[int], list[int]]], tokens: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Embeddings [B, T, D], padded on the right, with the image tokens in; labels [B, T]."""
        longest = max(len(ids) for ids, _ in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row, _ in rows])
        labels = torch.tensor(
            [[*row, *[language.IGNORED] * (longest - len(row))] for _, row in rows]
        )
        embedded = self.lora.get_input_embeddings()(ids)
        embedded = embedded.masked_scatter(
            (ids == self.image_token)[..., None], torch.cat(list(tokens)).to(embedded.dtype)
        )
        return embedded, labels

    def encode(self, row: Row, images: int) -> tuple[list[int], list[int]]:
        """Ids and labels of a row with so many image tokens; only answers have labels."""
        ids: list[int] = []
        labels: list[int] = []
        for number, (question, answer) in enumerate(row.turns):
            asked = question
            if row.is_routing:
                pool = [texts[0] for texts in spec.DESCRIPTIONS.values()]
                asked = routing_prompt(spec.INSTRUCTION, pool, question)
            if number == 0:
                asked = f"{IMAGE_TOKEN * images}\n{asked}"
            prompt = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": asked}],
                chat_template=CHAT_TEMPLATE,
                tokenize=False,
                add_generation_prompt=True,
            )
            before = self.tokenizer(prompt, add_special_tokens=False).input_ids
            after = self.tokenizer(f"{answer}<|im_end|>", add_special_tokens=False).input_ids
            end = self.tokenizer("\n", add_special_tokens=False).input_ids
            if ids and len(ids) + len(before) + len(after) > LONGEST:
                break
            ids += [*before, *after, *end]
            labels += [*[language.IGNORED] * len(before), *after]
            labels += [language.IGNORED] * len(end)
        return ids, labels


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


class Batches:
    """Batches of about TOKENS tokens: a pure function of the seed and the step."""

    def __init__(self, model: Model, rows: Mapping[str, list[Row]], data: Path, seed: int) -> None:
        self._model, self._rows, self._seed, self._data = model, rows, seed, data
        self._summary = model.adapter.config.summary_tokens

    def batch(self, step: int) -> tuple[list[Row], list[tuple[list[int], list[int]]], Tensor]:
        """Rows, their ids and labels, and their frozen maps [B, 472, h, w]."""
        rng = random.Random(f"joint-{self._seed}-{step}")
        names = [name for name in SHARES if self._rows[name]]
        drawn = []
        for name in rng.choices(names, [SHARES[name] for name in names], k=DRAWN):
            row = self._vary(rng.choice(self._rows[name]), rng)
            images = self._summary + int((targets_of([row.words]) >= 0).sum())
            drawn.append((row, self._model.encode(row, images)))
        # Rows of like length share a batch, so that little of it is padding.
        drawn.sort(key=lambda pair: len(pair[1][0]))
        groups: list[list[Any]] = [[]]
        for pair in drawn:
            if len(pair[1][0]) * (len(groups[-1]) + 1) > TOKENS:
                groups.append([])
            groups[-1].append(pair)
        groups = [group for group in groups if group]
        weights = [sum(len(ids) for _, (ids, _) in group) for group in groups]
        group = rng.choices(groups, weights)[0]
        maps = np.stack([base_map(self._data, row.place, rng) for row, _ in group])
        return [row for row, _ in group], [ids for _, ids in group], torch.from_numpy(maps)

    def _vary(self, row: Row, rng: random.Random) -> Row:
        turns = list(row.turns)
        rng.shuffle(turns)
        words = dict(row.words)
        if words and row.others and rng.random() < MORE_EXPERTS:
            more = rng.choice(sorted(row.others))
            words[more] = row.others[more]
        return replace(row, turns=tuple(turns), words=words)


@cache
def _base_maps(file: Path) -> Any:
    return np.load(file, mmap_mode="r")


def base_map(data: Path, of: tuple[str, int | None], rng: random.Random) -> Any:
    """The frozen layers' map of a picture, or of any picture of a folder."""
    folder, place = of
    maps = _base_maps(data / folder / "base.npy")
    return maps[rng.randrange(len(maps)) if place is None else place]


def split(rows: Mapping[str, list[Row]]) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Those to learn from, and those held out: the last of each source."""
    return (
        {name: some[:-HELD_OUT] for name, some in rows.items()},
        {name: some[-HELD_OUT:] for name, some in rows.items()},
    )


def train(arguments: argparse.Namespace) -> None:
    """Learn up to so many steps, or for so many minutes; the same command goes on."""
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    newest = folder / "newest"
    state_file = newest / "state.safetensors"
    torch.manual_seed(arguments.seed)
    if state_file.is_file():
        model = Model(newest, arguments.data, newest / "adapter.safetensors")
    else:
        model = Model(arguments.language / "newest", arguments.data)
    lora = {n: p for n, p in model.lora.named_parameters() if p.requires_grad}
    adapter = dict(model.adapter.summary.named_parameters(prefix="summary"))
    parameters = {**lora, **adapter}
    optimizer = torch.optim.AdamW(parameters.values(), lr=arguments.rate, weight_decay=0.0)
    done = 0
    if state_file.is_file():
        state = load_file(state_file)
        done = int(state["step"])
        language.restore(optimizer, parameters, state)
    batches = Batches(model, split(read_rows(arguments.data))[0], arguments.data, arguments.seed)
    began = time.time()
    model.lora.train()
    model.adapter.train()
    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    while done < arguments.steps and time.time() - began < 60 * arguments.minutes:
        start = time.time()
        rows, encoded, maps = batches.batch(done)
        warm = min((done + 1) / 20, 1.0)
        for group in optimizer.param_groups:
            decay = 0.525 + 0.475 * math.cos(math.pi * done / arguments.steps)
            group["lr"] = arguments.rate * warm * decay
        tokens = model.image_tokens(rows, maps)
        with torch.autocast("cpu", torch.bfloat16):
            embedded, labels = model.embed(encoded, tokens)
            causal = model.lora.get_base_model()
            hidden = causal.model(inputs_embeds=embedded).last_hidden_state
            targets = labels[:, 1:]
            kept = targets != language.IGNORED
            logits = causal.lm_head(hidden[:, :-1][kept]).float()
        loss = nn.functional.cross_entropy(logits, targets[kept])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        entry = {
            "step": done,
            "loss": round(loss.item(), 4),
            "tokens": sum(len(ids) for ids, _ in encoded),
            "sources": sorted({row.source for row in rows}),
            "seconds": round(time.time() - start, 1),
        }
        log.write(json.dumps(entry) + "\n")
        log.flush()
        print(entry, flush=True)
        if done % 20 == 0 or done == arguments.steps:
            _save(newest, model, optimizer, parameters, done)
    _save(newest, model, optimizer, parameters, done)


def _save(
    folder: Path,
    model: Model,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    step: int,
) -> None:
    """LoRA and adapter, then the optimiser's state with the step, which makes it the newest."""
    model.lora.save_pretrained(folder)
    own = {f"adapter.{k}": v for k, v in model.adapter.state_dict().items()}
    own |= {f"neck.{k}": v for k, v in model.neck.state_dict().items()}
    with new_file(folder / "adapter.safetensors") as unfinished:
        save_file(own, unfinished)
    state = {"step": torch.tensor(step)}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            state[f"{key}/{name}"] = value
    with new_file(folder / "state.safetensors") as unfinished:
        save_file(state, unfinished)


@torch.no_grad()
def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Greedy answers to held-out questions, with the experts that they need, judged; by source."""
    newest = arguments.folder / "newest"
    model = Model(newest, arguments.data, newest / "adapter.safetensors").eval()
    merged = model.lora.merge_and_unload().eval()
    model.lora = merged
    end = model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    right: dict[str, list[bool]] = {}
    rng = random.Random(0)
    each = max(arguments.evaluate // len(SHARES), 1)
    for source, rows in split(read_rows(arguments.data))[1].items():
        for row in rows[:each]:
            one = replace(row, turns=row.turns[:1])
            maps = torch.from_numpy(base_map(arguments.data, one.place, rng)[None])
            tokens = model.image_tokens([one], maps)
            ids, labels = model.encode(one, len(tokens[0]))
            prompt = [i for i, label in zip(ids, labels, strict=True) if label == -100][:-1]
            embedded, _ = model.embed([(prompt, prompt)], tokens)
            made = merged.generate(
                inputs_embeds=embedded.to(merged.dtype), max_new_tokens=40, do_sample=False,
                attention_mask=torch.ones(embedded.shape[:2]), eos_token_id=end,
            )  # fmt: skip
            said = model.tokenizer.decode(made[0], skip_special_tokens=True).strip()
            question, answer = one.turns[0]
            is_right = (
                said == answer if one.is_routing else judge(said, [answer], question=question)
            )
            right.setdefault(source, []).append(is_right)
            told = {"source": source, "question": question, "expected": answer, "said": said}
            print(json.dumps({**told, "right": is_right}), flush=True)
    return {source: [sum(values), len(values)] for source, values in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--language", type=Path, help="The folder of studies.nano.language.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate", type=int, metavar="N", help="Ask N held-out questions.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.evaluate:
        print(json.dumps(evaluate(arguments)))
    else:
        train(arguments)


if __name__ == "__main__":
    main()

"""Base summary and language model learn to answer and to route, on stored features.

    python -m studies.nano.joint runs/nano/joint --data runs/nano-data --steps 900

A row of a batch is what the model meets in use: a question, the summary of the base map, the words
of the experts, the question again and its answer, then perhaps questions that follow. Those are
branches: each sees what came before them and itself, none sees another. So do the questions of a
routing prompt. Encoders are frozen and have run
before (studies.nano.encode, studies.nano.words). The adapter hands words on as their embeddings
(studies.nano.align measures how near it comes), so embeddings with a little noise stand for it.
A run that was stopped goes on.

Shapes: B rows, T tokens, S tokens of the summary, C channels of the base map, D width of the
language model.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from openmova.checkpoints import nano_spec as spec
from openmova.checkpoints.nano import language_model_folder, unpack
from openmova.checkpoints.tensors import under
from openmova.inference.fast_linear import multiplies_in_bfloat16
from openmova.routing import routing_prompt, split_routing_prompt
from openmova.routing.pooling import pool_tokens
from openmova.runtime.files import new_file
from studies import new_parser
from studies.nano.align import new_adapter, new_neck, project, targets_of
from studies.nano.rows import READ_TYPES, Row, Rows, Turn, read_rows

SHARES = {
    "kind": 14.0, "object": 6.0, "location": 8.0, "neighbour": 1.2, "photos": 2.0, "places": 1.5,
    "pairs": 4.0, "signs": 4.0, "charts": 8.0, "figures": 3.0, "gallery": 3.0, "values": 18.0,
    "labels": 6.0, "text": 24.0, "page_text": 1.0,
    "pages": 4.0, "receipts": 7.0, "screens": 8.0, "reports": 4.0, "menus": 6.0,
    "unknown": 2.0, "routing": 20.0,
}  # fmt: skip
"""How often a row comes from each; a row with the routing prompt, from each folder."""
OF_TYPE = 1.0
"""How often that is from the pictures of one of READ_TYPES."""
TOKENS, DRAWN = 2400, 40
"""Of a batch, padding included; rows drawn for it."""
ROUTED = 20
"""Questions of a row with the routing prompt."""
MORE_EXPERTS, FOLLOW_UP = 0.3, 0.2
"""How often a row has an expert more than its questions need; questions that follow, FOLLOWING."""
FOLLOWING, FULL = 2, 8
"""Questions from which on a batch counts as a whole one."""
NOISE = 0.17
"""Of the words' embeddings, relative to their length: what the adapter leaves, cosine 0.985."""
IGNORED = -100
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHARPNESS = 12.0
"""Of the softmax over kinds of image, where the summary starts."""
PEFT_PREFIX = "base_model.model."
POOL = [texts[0] for texts in spec.DESCRIPTIONS.values()]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A row in ids: its picture's part with placeholders, then its branches."""

    ids: list[int]
    first: int
    """Where the picture's part begins."""
    labels: list[int]
    branches: list[int]
    """Of each token: 0 what all questions share, then the number of the question."""
    positions: list[int]

    @property
    def questions(self) -> int:
        """How many are answered in it: labels begin after what is not learnt."""
        before = [IGNORED, *self.labels]
        return sum(a == IGNORED != b for a, b in zip(before, self.labels, strict=False))


class Model(nn.Module):
    """What is trained, LoRA and summary, and what stays: the base's projection, the embeddings."""

    def __init__(self, data: Path, start: Path | None) -> None:
        super().__init__()
        source = language_model_folder()
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": "QUESTION"}],
            chat_template=spec.CHAT_TEMPLATE,
            tokenize=False,
            add_generation_prompt=True,
        )
        begin, self.end = prompt.split("QUESTION")
        self.begin = self._ids(begin)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=compute_dtype(), attn_implementation="sdpa"
        )
        config = LoraConfig(
            r=spec.LORA_RANK,
            lora_alpha=int(spec.LORA_RANK * spec.LORA_SCALE),
            target_modules=TARGETS,
            task_type="CAUSAL_LM",
        )
        self.lora: Any = get_peft_model(model, config)
        for parameter in self.lora.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.summary = new_adapter().summary
        self.neck = new_neck(data)
        if start is not None:
            self.take(start)

    def take(self, carried: Path) -> None:
        """Go on from the weights that the repository carries."""
        state = unpack(load_file(carried / "lora.safetensors"))
        own = get_peft_model_state_dict(self.lora)
        for name, tensor in own.items():
            carried_part = state[name.removeprefix(PEFT_PREFIX)]
            # A lower rank than ours: its rows come first, and the others start at nothing.
            tensor[tuple(map(slice, carried_part.shape))] = carried_part
        set_peft_model_state_dict(self.lora, own)
        adapter = unpack(load_file(carried / "adapter.safetensors"))
        self.summary.load_state_dict(under("adapter.summary.", adapter))
        self.neck.load_state_dict(under("base.neck.", adapter))

    def routing_tokens(self, features: Tensor) -> Tensor:
        """What the router sees of base features [S, C]: the summary, pooled."""
        summary: Tensor = self.summary(features)
        return pool_tokens(summary[None], spec.SUMMARY_GRID, spec.ROUTING_GRID)[0]

    def image_tokens(self, words: Mapping[str, str], features: Tensor) -> Tensor:
        """An answer's tokens [N, D]: the summary of the base features [S, C], then the words."""
        ids = targets_of([words])[0]
        with torch.no_grad():
            written = self.embedding(ids[ids >= 0]).float()
            written += NOISE * written.std(-1, keepdim=True) * torch.randn_like(written)
        return torch.cat([self.summary(features), written])

    def row_tokens(self, row: Row, features: Tensor) -> Tensor:
        """The tokens [N, D] of a row's picture, whose base features are [S, C]."""
        if row.source == "routing":
            return self.routing_tokens(features)
        return self.image_tokens(row.words, features)

    @property
    def embedding(self) -> nn.Embedding:
        table: nn.Embedding = self.lora.get_input_embeddings()
        return table

    def hidden(self, rows: Sequence[Encoding], tokens: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Last states [B, T, D] and labels [B, T], rows padded on the right."""
        longest = max(len(row.ids) for row in rows)

        def padded(parts: Sequence[Sequence[int]], value: int) -> Tensor:
            return torch.tensor([[*part, *[value] * (longest - len(part))] for part in parts])

        branches = padded([row.branches for row in rows], -1)
        embedded = self.embedding(padded([row.ids for row in rows], 0))
        embedded = torch.stack(
            [
                torch.cat([line[: row.first], image.to(line.dtype), line[row.first + len(image) :]])
                for line, row, image in zip(embedded, rows, tokens, strict=True)
            ]
        )
        own = branches[:, :, None] == branches[:, None]
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        mask = causal & (own | (branches == 0)[:, None])
        states: Tensor = (
            self.lora.get_base_model()
            .model(
                inputs_embeds=embedded,
                attention_mask=mask[:, None],
                position_ids=padded([row.positions for row in rows], 0),
            )
            .last_hidden_state
        )
        return states, padded([row.labels for row in rows], IGNORED)

    def loss(self, rows: Sequence[Encoding], tokens: Sequence[Tensor]) -> Tensor:
        """The mean loss of the answers' tokens; the head runs for these alone."""
        with torch.autocast("cpu", torch.bfloat16, enabled=compute_dtype() == torch.bfloat16):
            states, labels = self.hidden(rows, tokens)
            kept = labels[:, 1:] != IGNORED
            logits = self.lora.get_base_model().lm_head(states[:, :-1][kept]).float()
        return F.cross_entropy(logits, labels[:, 1:][kept])

    def encode(self, images: int, turns: Sequence[Turn], *, is_routing: bool) -> Encoding:
        """Ids of a picture of so many tokens and of questions, as the chat template writes them.

        The first stands before the image and after it, the others follow on it, each in a branch.
        Of a routing prompt all are branches, after the image that comes after the pool.
        """
        if is_routing:
            pool, asked = split_routing_prompt(routing_prompt(spec.INSTRUCTION, POOL, ""))
            start, shared, following = self._ids(pool), self._ids(asked), list(turns)
        else:
            (question, answer), *following = turns
            start, shared = self._ids(f"{question}\n"), self._ids("\n")
        start = [*self.begin, *start]
        ids = [*start, *[0] * images, *shared]
        labels = [IGNORED] * len(ids)

        def add(prompt: list[int], answer: str) -> None:
            said, last = self._ids(f"{answer}<|im_end|>"), self._ids("\n")
            ids.extend([*prompt, *said, *last])
            labels.extend([*[IGNORED] * len(prompt), *said, *[IGNORED] * len(last)])

        if not is_routing:
            add(self._ids(f"{question}{self.end}"), answer)
        before = len(ids)
        branches, positions = [0] * before, list(range(before))
        for number, (question, answer) in enumerate(following, 1):
            prompt = self._ids(f"{question}{self.end}")
            add(prompt if is_routing else [*self.begin, *prompt], answer)
            added = len(ids) - len(branches)
            branches += [number] * added
            positions += range(before, before + added)
        return Encoding(
            ids=ids, first=len(start), labels=labels, branches=branches, positions=positions
        )

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids


def compute_dtype() -> torch.dtype:
    """bfloat16 where products are faster in it; where there are none it takes 50 times as long."""
    return torch.bfloat16 if multiplies_in_bfloat16() else torch.float32


@torch.no_grad()
def base_features(neck: nn.ModuleDict, file: Path, count: int) -> Tensor:
    """What the summary is made of: the pooled base maps [N, S, C] of a folder's first pictures."""
    maps = np.load(file, mmap_mode="r")[:count]
    pooled = [
        F.adaptive_avg_pool2d(project(neck, torch.from_numpy(part).float()), spec.SUMMARY_GRID)
        for part in np.array_split(maps, math.ceil(count / 16))
    ]
    return torch.cat(pooled).flatten(2).mT.contiguous()


class Batches:
    """Batches of about TOKENS tokens: a pure function of the seed and the step."""

    def __init__(self, model: Model, rows: Rows, data: Path, seed: int) -> None:
        self._model, self._rows, self._seed = model, rows, seed
        self._shares = {"kind": answer_weights(rows.answering.get("kind", []))}
        self.features = {
            name: base_features(model.neck, data / name / "base.npy", len(kinds))
            for name, kinds in rows.kinds.items()
        }
        of_type: dict[str, list[Tensor]] = {name: [] for name in READ_TYPES}
        for name, kinds in rows.kinds.items():
            for features, kind in zip(self.features[name], kinds, strict=True):
                if kind in of_type:
                    of_type[kind].append(features)
        self.features |= {kind: torch.stack(found) for kind, found in of_type.items() if found}

    def batch(self, step: int) -> list[tuple[Row, Encoding, Tensor]]:
        """Rows with their ids and the base features [S, C] of their pictures."""
        rng = random.Random(f"joint-{self._seed}-{step}")
        names = [name for name in SHARES if name == "routing" or self._rows.answering.get(name)]
        drawn = [
            self._routing(rng) if name == "routing" else self._answering(name, rng)
            for name in rng.choices(names, [SHARES[name] for name in names], k=DRAWN)
        ]
        # Rows of like length share a batch, so that little of it is padding.
        drawn.sort(key=lambda row: len(row[1].ids))
        groups: list[list[tuple[Row, Encoding, Tensor]]] = [[]]
        for row in drawn:
            if len(row[1].ids) * (len(groups[-1]) + 1) > TOKENS:
                groups.append([])
            groups[-1].append(row)
        groups = [group for group in groups if group]
        return rng.choices(groups, [sum(len(e.ids) for _, e, _ in group) for group in groups])[0]

    def picture(self, place: tuple[str, int | None], rng: random.Random) -> Tensor:
        """Base features of a picture, or of any picture of a folder."""
        features = self.features[place[0]]
        return features[rng.randrange(len(features)) if place[1] is None else place[1]]

    def _answering(self, name: str, rng: random.Random) -> tuple[Row, Encoding, Tensor]:
        (row,) = rng.choices(self._rows.answering[name], cum_weights=self._shares.get(name))
        words = dict(row.words)
        if words and row.others and rng.random() < MORE_EXPERTS:
            more = rng.choice(sorted(row.others))
            words[more] = row.others[more]
        row = Row(source=name, place=row.place, words=words, turns=row.turns)
        asked = 1 + FOLLOWING if rng.random() < FOLLOW_UP else 1
        turns = rng.sample(row.turns, min(asked, len(row.turns)))
        tokens = math.prod(spec.SUMMARY_GRID) + int((targets_of([words]) >= 0).sum())
        encoding = self._model.encode(tokens, turns, is_routing=False)
        return row, encoding, self.picture(row.place, rng)

    def _routing(self, rng: random.Random) -> tuple[Row, Encoding, Tensor]:
        folders = [name for name in self._rows.routing if name in self.features]
        shares = [OF_TYPE if name in READ_TYPES else SHARES.get(name, 2.0) for name in folders]
        name = rng.choices(folders, shares)[0]
        turns = rng.choices(self._rows.routing[name], k=ROUTED)
        row = Row(source="routing", place=(name, None), words={}, turns=tuple(turns))
        tokens = math.prod(spec.ROUTING_GRID)
        encoding = self._model.encode(tokens, turns, is_routing=True)
        return row, encoding, self.picture(row.place, rng)


def answer_weights(rows: Sequence[Row]) -> list[float]:
    """Cumulative weights by which an answer is drawn as the root of how often it is there: the rare
    ones more often, and the frequent ones still most."""
    answers = [row.turns[-1][1] for row in rows]
    counts = Counter(answers)
    return list(accumulate(counts[answer] ** -0.5 for answer in answers))


def align_kinds(model: Model, batches: Batches, rows: Rows, steps: int = 300) -> float:
    """The start of the summary: every token says what kind of image it sees, as a word.

    Returns the share of every tenth picture, held out here, whose mean is nearest to its word.
    """
    names = sorted({kind for kinds in rows.kinds.values() for kind in kinds})
    first = [model._ids(f" {name}")[0] for name in names]
    words = model.embedding.weight[first].float().detach()
    unit = F.normalize(words, dim=1) / words.norm(dim=1).mean()
    features = torch.cat([batches.features[name] for name in rows.kinds])
    targets = torch.tensor([names.index(k) for kinds in rows.kinds.values() for k in kinds])
    held_out = torch.arange(len(targets)) % 10 == 0
    weights = 1 / torch.bincount(targets, minlength=len(names)).float().sqrt()
    optimizer = torch.optim.Adam(model.summary.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        learnt = torch.nonzero(~held_out)[:, 0]
        chosen = learnt[torch.randint(len(learnt), (128,), generator=generator)]
        logits = SHARPNESS * (model.summary(features[chosen]) @ unit.mT)
        each = F.cross_entropy(
            logits.flatten(0, 1), targets[chosen].repeat_interleave(logits.shape[1]), weights
        )
        mean = F.cross_entropy(logits.mean(1), targets[chosen], weights)
        length = model.summary(features[chosen]).norm(dim=-1) / words.norm(dim=1).mean()
        (mean + 0.3 * each + (length - 1).square().mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        said = (model.summary(features[held_out]) @ unit.mT).mean(1).argmax(1)
    return (said == targets[held_out]).float().mean().item()


def train(arguments: argparse.Namespace) -> None:
    """Learn up to so many steps, or for so many minutes; the same command goes on."""
    newest = arguments.folder / "newest"
    newest.mkdir(parents=True, exist_ok=True)
    state_file = newest / "state.safetensors"
    torch.manual_seed(arguments.seed)
    model = Model(arguments.data, arguments.start)
    parameters = {n: p for n, p in model.lora.named_parameters() if p.requires_grad}
    parameters |= dict(model.summary.named_parameters(prefix="summary"))
    optimizer = torch.optim.AdamW(parameters.values(), lr=arguments.rate, weight_decay=0.0)
    rows = read_rows(arguments.data)
    done = 0
    if state_file.is_file():
        done = restore(model, optimizer, parameters, load_file(state_file))
    batches = Batches(model, rows, arguments.data, arguments.seed)
    if not done and arguments.start is None:
        print(f"kinds told by the summary alone: {align_kinds(model, batches, rows):.1%}")
    began = time.time()
    model.train()
    with (arguments.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while done < arguments.steps and time.time() - began < 60 * arguments.minutes:
            start, batch = time.time(), batches.batch(done)
            for group in optimizer.param_groups:
                warm = min((done + 1) / 20, 1.0)
                decay = 0.525 + 0.475 * math.cos(math.pi * done / arguments.steps)
                group["lr"] = arguments.rate * warm * decay
            tokens = [model.row_tokens(row, features) for row, _, features in batch]
            loss = model.loss([encoding for _, encoding, _ in batch], tokens)
            questions = sum(encoding.questions for _, encoding, _ in batch)
            (loss * min(questions / FULL, 1.0)).backward()
            nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            entry = {
                "step": done,
                "loss": round(loss.item(), 4),
                "tokens": sum(len(encoding.ids) for _, encoding, _ in batch),
                "questions": questions,
                "sources": sorted({row.source for row, _, _ in batch}),
                "seconds": round(time.time() - start, 1),
            }
            log.write(json.dumps(entry) + "\n")
            log.flush()
            print(entry, flush=True)
            if done % 20 == 0:
                _save(newest, model, optimizer, parameters, done)
        _save(newest, model, optimizer, parameters, done)


def _save(
    folder: Path,
    model: Model,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    step: int,
) -> None:
    """All that a training goes on from and studies.nano.export carries, in one file."""
    state = {"step": torch.tensor(step)}
    state |= {f"neck.{name}": tensor for name, tensor in model.neck.state_dict().items()}
    for name, parameter in parameters.items():
        state[f"weight/{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            state[f"{key}/{name}"] = value
    with new_file(folder / "state.safetensors") as unfinished:
        save_file(state, unfinished)


def restore(
    model: Model,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> int:
    """Puts back what `_save` wrote; returns the step."""
    model.neck.load_state_dict(under("neck.", state))
    for name, parameter in parameters.items():
        parameter.data.copy_(state[f"weight/{name}"])
        for key in ("step", "exp_avg", "exp_avg_sq"):
            optimizer.state[parameter][key] = state[f"{key}/{name}"]
    return int(state["step"])


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="Carried weights to go on from: models/nano.")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments)


if __name__ == "__main__":
    main()

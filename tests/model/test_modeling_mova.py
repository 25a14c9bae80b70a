"""The model: mixed batches, lazy experts, both passes, generation, training, files."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    TextIteratorStreamer,
    pipeline,
)

from openmova import MovaConfig, MovaForConditionalGeneration, MovaModel, MovaProcessor
from openmova.errors import UserError
from openmova.model.splicing import merge_image_tokens
from openmova.routing import RoutingResult
from openmova.routing.selection import ExpertSelection
from tiny import (
    MORE_TEXT_CONFIGS,
    TEXT_CONFIGS,
    WORDS,
    image_inputs,
    pictures,
    spec,
    tiny_config,
    tiny_model,
    tiny_question_tokenizer,
    tiny_tokenizer,
)

ROUTING = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).bool()
QUESTIONS = ["what is this ?", "how many dogs ?", "what cat", "is this red ? what blue"]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def processor_of(model: MovaForConditionalGeneration) -> MovaProcessor:
    return MovaProcessor.from_config(model.config, tiny_tokenizer(), tiny_question_tokenizer())


def inputs_of(model: MovaForConditionalGeneration, rows: list[int], **keywords: Any) -> Any:
    pics = pictures(4)
    inputs = processor_of(model)(
        images=[pics[i] for i in rows],
        questions=[QUESTIONS[i] for i in rows],
        return_tensors="pt",
        **keywords,
    )
    return inputs.to(model.device)


def ready(text: str = "llama", **changes: Any) -> MovaForConditionalGeneration:
    model = tiny_model(text, **changes)
    model.tokenizer = tiny_tokenizer()
    return model


def answer(model: MovaForConditionalGeneration, inputs: Any, **keywords: Any) -> Tensor:
    """The new ids of a greedy generation that never ends early."""
    options = {"do_sample": False, "max_new_tokens": 5, "min_new_tokens": 5, **keywords}
    return model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


# Batches


@pytest.mark.parametrize("text", TEXT_CONFIGS)
def test_a_batch_of_mixed_routings_equals_each_row_alone(text: str) -> None:
    model = tiny_model(text)
    rows = [0, 1, 2, 3]
    batch = inputs_of(model, rows, with_routing=False)
    together = model(**batch, routing=ROUTING)
    for i in rows:
        alone = inputs_of(model, [i], with_routing=False)
        single = model(**alone, routing=ROUTING[i : i + 1])
        length = alone["input_ids"].shape[1]
        same(together.logits[i, -length:], single.logits[0])
        same(together.gates[i], single.gates[0])


def test_padding_on_either_side_changes_nothing() -> None:
    model = tiny_model()
    left = inputs_of(model, [0, 3])
    right = inputs_of(model, [0, 3], padding_side="right")
    assert not torch.equal(left["input_ids"], right["input_ids"])
    before, after = (model(**x, routing=ROUTING[:2]).logits for x in (left, right))
    same(before[left["attention_mask"].bool()], after[right["attention_mask"].bool()])


def test_an_expert_runs_once_a_batch_on_the_rows_that_chose_it() -> None:
    model = tiny_model()
    model(**inputs_of(model, [0, 1, 2, 3]), routing=ROUTING)
    assert [model.model.experts.get(j).batches for j in range(3)] == [[2], [2], [2]]
    assert model.model.base.batches == [4]


def test_an_unselected_expert_is_never_built_and_equals_an_absent_one(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    whole = MovaForConditionalGeneration.from_pretrained(tmp_path)
    routing = torch.tensor([[1, 0, 0], [0, 0, 0]]).bool()
    inputs = inputs_of(whole, [0, 1])
    (tmp_path / "experts" / "two.safetensors").unlink()
    poor = MovaForConditionalGeneration.from_pretrained(tmp_path)
    assert whole.model.experts.built == []
    expected, found = (m(**inputs, routing=routing).logits for m in (whole, poor))
    assert torch.equal(found, expected)
    assert poor.model.experts.built == ["one"]
    assert not [name for name, _ in poor.named_parameters() if ".experts.1." in name]
    with pytest.raises(UserError, match=r"lacks experts/two\.safetensors: download it again"):
        poor.model.experts.get(1)


def test_a_row_without_picture_keeps_its_text() -> None:
    model = tiny_model()
    processor = processor_of(model)
    mixed = processor(images=[[pictures(1)[0]], []], questions=QUESTIONS[:2], return_tensors="pt")
    text = processor(questions=QUESTIONS[1], return_tensors="pt")
    logits = model(**mixed, routing=ROUTING[:2]).logits
    same(logits[1, -text["input_ids"].shape[1] :], model(**text).logits[0])
    assert answer(model, text).shape == (1, 5)


CONSTRAINED = {"grid": (1, 2), "max_new_tokens": 4, "constrained": True}


@pytest.mark.parametrize("default", ["router", "all", "none"])
def test_what_a_call_leaves_out_is_found_in_its_prompts(default: str) -> None:
    model = ready(seed=2, routing=CONSTRAINED, default_routing=default)
    processor = model.processor = processor_of(model)
    full = inputs_of(model, [0, 1, 3])
    routing = {
        "router": route(model, full).routing,
        "all": ROUTING[[2, 2, 2]],
        "none": ROUTING[[1, 1, 1]],
    }[default]
    assert len(set(map(tuple, routing.tolist()))) == (2 if default == "router" else 1)
    prompts = processor.batch_decode(full["input_ids"], skip_special_tokens=False)
    texts = [re.sub(r"<pad> |(?<=<image>) <image>", "", prompt) for prompt in prompts]
    images = [[picture] for picture in pictures(4)]
    images, texts[1] = [images[0], [], images[3]], texts[1].replace("<image> ", "")
    little = processor(images=images, text=texts, return_tensors="pt").to(model.device)
    assert set(little) == {"input_ids", "attention_mask", "pixel_values", "image_sizes"}
    assert len(little["pixel_values"]) == 2
    given, found = model(**full, routing=routing), model(**little)
    for row in (0, 2):
        same(found.gates[row], given.gates[row])
        same(found.logits[row, -5:], given.logits[row, -5:])
    assert not found.gates[1].any()
    written, expected = answer(model, little), answer(model, full, routing=routing)
    assert torch.equal(written[[0, 2]], expected[[0, 2]])


def test_training_asks_the_router_as_inference_does() -> None:
    """Without dropout, and with a cache, which checkpointed layers refuse."""
    model = ready(seed=2, routing=CONSTRAINED)
    inputs = inputs_of(model, [0, 1, 2, 3])
    expected = route(model, inputs).routing
    assert not torch.equal(expected[0], expected[3])
    model.train().gradient_checkpointing_enable()
    base = Mock(wraps=model.model.encode_base)
    with torch.enable_grad(), patch.object(model.model, "encode_base", base):
        gates = model(**inputs).gates
    assert base.call_count == 1
    assert torch.equal((gates != 0).any(dim=1), expected)
    assert model.training and all(layer.training for layer in model.model.language_model.layers)


# Both passes


def route(model: MovaForConditionalGeneration, inputs: Any, **options: Any) -> RoutingResult:
    base_map = model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
    return model.route(
        inputs["routing_input_ids"], inputs["routing_attention_mask"], base_map, **options
    )


def test_generate_finds_the_routing_that_route_tells() -> None:
    model = ready(seed=1)
    inputs = inputs_of(model, [0, 1, 2, 3])
    for constrained in (False, True):
        result = route(model, inputs, constrained=constrained)
        assert result.routing.shape == result.scores.shape == (4, 3)
        assert ((result.scores >= 0) & (result.scores <= 1)).all()
        by_itself = answer(model, inputs, constrained=constrained)
        assert torch.equal(by_itself, answer(model, inputs, routing=result.routing))
    assert result.routing.any()
    assert all(set(text) <= set("ABC, none") for text in result.texts)


def test_a_prompt_may_show_another_pool_than_the_model_s_own() -> None:
    model = ready(routing={"grid": (1, 2), "max_new_tokens": 8, "constrained": True})
    inputs = inputs_of(model, [0, 1, 2, 3])
    assert torch.equal(route(model, inputs).routing, route(model, inputs, pool_size=3).routing)
    fewer = route(model, inputs, pool_size=2)
    assert fewer.routing.shape == fewer.scores.shape == (4, 2)
    assert not route(model, inputs, pool_size=0).routing.any()


def test_the_router_s_tokens_serve_rows_without_expert(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ready()
    inputs = inputs_of(model, [0, 1, 2, 3])
    fixed = [ExpertSelection(fixed=tuple(row)) for row in ROUTING.tolist()]
    everything = model.encode_images(inputs, selections=fixed)
    adapted: list[int] = []
    adapter = model.model.adapter.forward

    def counted(base: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        adapted.append(len(base))
        return adapter(base, *others)

    def route(ids: Tensor, mask: Tensor, base_map: Tensor, **_: Any) -> RoutingResult:
        none = torch.zeros(len(ids), 3, dtype=torch.bool)
        tokens, _ = model.model.fuse(base_map, {}, none)
        adapted.clear()
        return RoutingResult(ROUTING[rows], ROUTING[rows].float(), [""] * len(ids), tokens)

    monkeypatch.setattr(model.model.adapter, "forward", counted)
    monkeypatch.setattr(model, "route", route)
    for rows, left in (([0, 1, 3], 3), ([0, 2], 4), ([1], 3)):
        mixed = [ExpertSelection() if row in rows else fixed[row] for row in range(4)]
        found = model.encode_images(inputs, selections=mixed)
        same(found.tokens, everything.tokens)
        same(found.gates, everything.gates)
        assert adapted == [left]


def test_a_batch_is_routed_and_answered_as_each_row_alone() -> None:
    model = ready()
    batch = inputs_of(model, [0, 1, 2, 3])
    answers = answer(model, batch)
    assert model.model.base.batches == [4]  # once for both passes
    together = route(model, batch)
    for i in range(4):
        inputs = inputs_of(model, [i])
        alone = route(model, inputs)
        assert torch.equal(together.routing[i], alone.routing[0])
        same(together.scores[i], alone.scores[0])
        assert [together.texts[i]] == alone.texts
        assert torch.equal(answers[i : i + 1], answer(model, inputs))


# Generation


@pytest.mark.parametrize("text", TEXT_CONFIGS)
def test_cached_equals_uncached(text: str) -> None:
    model = tiny_model(text)
    inputs = inputs_of(model, [0, 3], with_routing=False)
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5, "min_new_tokens": 5}
    options |= {"return_dict_in_generate": True, "output_logits": True, "routing": ROUTING[:2]}
    cached = model.generate(**inputs, **options, use_cache=True)
    uncached = model.generate(**inputs, **options, use_cache=False)
    assert torch.equal(cached.sequences, uncached.sequences)
    same(torch.stack(cached.logits), torch.stack(uncached.logits))
    mask = torch.cat([inputs["attention_mask"], torch.ones(2, 5, dtype=torch.long)], dim=1)
    whole = {**inputs, "input_ids": cached.sequences, "attention_mask": mask}
    forward = model(**whole, routing=ROUTING[:2])
    same(torch.stack(cached.logits, dim=1), forward.logits[:, -6:-1])


def test_beams_and_several_answers() -> None:
    model = ready()
    inputs = inputs_of(model, [0, 1])
    beams = answer(model, inputs, num_beams=3, num_return_sequences=2)
    assert beams.shape == (4, 5)
    alone = answer(model, inputs_of(model, [1]), num_beams=3, num_return_sequences=2)
    assert torch.equal(beams[2:], alone)
    assert torch.equal(answer(model, inputs, num_beams=1), answer(model, inputs))


def test_streaming_gives_the_answer_and_nothing_of_the_routing() -> None:
    model = ready()
    inputs = inputs_of(model, [0])
    streamer = TextIteratorStreamer(model.tokenizer, skip_prompt=True)
    thread = threading.Thread(target=answer, args=(model, inputs), kwargs={"streamer": streamer})
    thread.start()
    streamed = "".join(streamer)
    thread.join()
    assert streamed.split() == model.tokenizer.decode(answer(model, inputs)[0]).split()


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_pool_may_be_empty() -> None:
    fields = {**vars(tiny_config().adapter), "expert_channels": ()}
    model = ready(experts=[], adapter=fields)
    inputs = inputs_of(model, [0, 1])
    assert answer(model, inputs).shape == (2, 5)
    assert answer(model, inputs, routing=torch.zeros(2, 0, dtype=torch.bool)).shape == (2, 5)


# Training


@torch.enable_grad()
def gradients(model: MovaForConditionalGeneration) -> dict[str, Tensor]:
    model.zero_grad()
    inputs = inputs_of(model, [0, 1, 2, 3], with_routing=False)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    labels = labels.masked_fill(labels == model.config.image_token_id, -100)
    model(**inputs, routing=ROUTING, labels=labels).loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_gradients_reach_every_trained_part_with_and_without_checkpointing() -> None:
    model = tiny_model().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain = gradients(model)
    learning = {name for name, _ in model.named_parameters() if ".experts." not in name}
    assert {name for name, gradient in plain.items() if gradient.count_nonzero()} == learning
    assert plain.keys() == learning
    model.gradient_checkpointing_enable()
    assert model.model.adapter.gradient_checkpointing
    torch.testing.assert_close(gradients(model), plain)


def test_the_loss_is_that_of_the_next_token() -> None:
    model = tiny_model()
    inputs = inputs_of(model, [2], with_routing=False)
    labels = inputs["input_ids"].clone()
    labels[:, :-3] = -100
    out = model(**inputs, routing=ROUTING[2:3], labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[0, -4:-1], labels[0, -3:])
    torch.testing.assert_close(out.loss, expected)
    few = model(**inputs, routing=ROUTING[2:3], logits_to_keep=2).logits
    torch.testing.assert_close(few, out.logits[:, -2:])


@pytest.mark.parametrize("text", ["llama", "gemma2"])
@pytest.mark.parametrize("items", [None, 7])
def test_the_head_where_labels_are_gives_the_same_gradients(text: str, items: int | None) -> None:
    model = tiny_model(text)
    inputs = inputs_of(model, [0, 1, 2, 3], with_routing=False)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, -2:] = inputs["input_ids"][0, -2:]
    labels[2, -4:-1] = inputs["input_ids"][2, -4:-1]
    kept = torch.zeros_like(labels, dtype=torch.bool)
    kept[:, :-1] = labels[:, 1:] != -100

    @torch.enable_grad()
    def run(**keywords: Any) -> tuple[Any, dict[str, Tensor]]:
        model.zero_grad()
        out = model(**inputs, routing=ROUTING, labels=labels, num_items_in_batch=items, **keywords)
        out.loss.backward()
        return out, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    full, expected = run()
    few, found = run(logits_to_keep=kept)
    assert few.logits.shape == (5, len(WORDS))
    same(few.logits, full.logits[kept])
    torch.testing.assert_close(few.loss, full.loss)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("text", [*TEXT_CONFIGS, *MORE_TEXT_CONFIGS])
def test_the_language_model_says_what_it_says_alone(text: str) -> None:
    model = tiny_model(text)
    native = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    native.base_model.load_state_dict(model.model.language_model.state_dict())
    native.get_output_embeddings().load_state_dict(model.lm_head.state_dict())
    ids = torch.tensor([[2, 12, 13, 14, 20]])
    assert torch.equal(model(input_ids=ids).logits, native(input_ids=ids).logits)


def test_an_image_token_outside_of_the_vocabulary() -> None:
    inside, outside = tiny_model(), tiny_model(image_token_id=1000)
    inputs = inputs_of(inside, [0], with_routing=False)
    expected = inside(**inputs, routing=ROUTING[:1]).logits
    inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == 4, 1000)
    assert torch.equal(outside(**inputs, routing=ROUTING[:1]).logits, expected)


def test_no_image_token_is_ever_written() -> None:
    model = tiny_model()
    torch.nn.init.zeros_(model.lm_head.weight)
    inputs = inputs_of(model, [0, 1], with_routing=False)
    for use_cache in (True, False):
        options = {"do_sample": True, "max_new_tokens": 40, "use_cache": use_cache}
        assert not (answer(model, inputs, routing=ROUTING[:2], **options) == 4).any()


# Files


def test_save_and_load_round_trip_is_bit_equal(tmp_path: Path) -> None:
    model = ready()
    first, second = tmp_path / "first", tmp_path / "second"
    model.save_pretrained(first)
    processor_of(model).save_pretrained(first)
    loaded = MovaForConditionalGeneration.from_pretrained(first)
    loaded.save_pretrained(second)  # with experts that were never used
    files = ["model.safetensors", *(f"experts/{name}.safetensors" for name in ("one", "two"))]
    for file in files:
        before, after = load_file(first / file), load_file(second / file)
        assert before.keys() == after.keys() and before
        assert all(torch.equal(before[name], after[name]) for name in before), file
    assert not any("experts" in name for name in load_file(first / "model.safetensors"))
    again = MovaForConditionalGeneration.from_pretrained(second)
    again.tokenizer = loaded.tokenizer
    inputs = inputs_of(model, [0, 1, 2, 3])
    expected = model(**inputs, routing=ROUTING).logits
    for other in (loaded, again):
        assert torch.equal(other(**inputs, routing=ROUTING).logits, expected)
        assert torch.equal(answer(other, inputs), answer(model, inputs))
        assert torch.equal(other.model.adapter.rotary.cos, model.model.adapter.rotary.cos)
    kept, config = MovaConfig.from_pretrained(second).to_dict(), model.config.to_dict()
    assert kept["adapter"] == config["adapter"]


def test_tied_embeddings_are_saved_once(tmp_path: Path) -> None:
    text = {**tiny_config().text_config.to_dict(), "tie_word_embeddings": True}
    model = tiny_model(text_config=text)
    model.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded = MovaForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_half_precision_reaches_experts_that_come_late(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    model = MovaForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    logits = model(**inputs_of(model, [0, 2]), routing=ROUTING[[0, 2]]).logits
    assert logits.dtype == torch.bfloat16 and logits.isfinite().all()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_auto_classes_and_pipeline(tmp_path: Path) -> None:
    model = ready()
    model.save_pretrained(tmp_path)
    processor_of(model).save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), MovaConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), MovaModel)
    for auto in (AutoModelForImageTextToText, AutoModelForMultimodalLM):
        assert isinstance(auto.from_pretrained(tmp_path), MovaForConditionalGeneration)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), MovaProcessor)
    pipe = pipeline("image-text-to-text", model=str(tmp_path))
    content = [{"type": "image", "image": pictures(1)[0]}, {"type": "text", "text": QUESTIONS[0]}]
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    messages = [{"role": "user", "content": content}]
    (said,) = pipe(text=messages, return_full_text=False, generate_kwargs=options)
    (ids,) = answer(model, inputs_of(model, [0]))
    expected = model.tokenizer.decode(ids, skip_special_tokens=True)
    assert said["generated_text"].split() == expected.split()


def test_wrong_weights_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny_model().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    good = load_file(file)
    position, norm = "model.adapter.position", "model.language_model.norm.weight"

    def broken(state: dict[str, Tensor], message: str) -> None:
        save_file(state, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match=message):
            MovaForConditionalGeneration.from_pretrained(tmp_path)

    broken({k: t for k, t in good.items() if k != norm}, f"missing keys {norm}")
    broken({**good, "model.adapter.more": torch.ones(2)}, r"unexpected keys model\.adapter\.more")
    broken({**good, position: good[position][:, :3]}, rf"{position} has shape \[1, 3, 16\] instead")
    assert not caplog.records  # the error says it all
    save_file(good, file, metadata={"format": "pt"})
    one = tmp_path / "experts" / "one.safetensors"
    save_file({"conv.weight": torch.zeros(6, 3, 2, 2)}, one)
    model = MovaForConditionalGeneration.from_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"one\.safetensors .* missing keys conv\.bias"):
        model.model.experts.get(0)
    shutil.copy(tmp_path / "experts" / "two.safetensors", one)
    with pytest.raises(UserError, match=r"can't load experts/one\.safetensors: .*size mismatch"):
        model.model.experts.get(0)
    one.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"can't load experts/one\.safetensors"):
        model.model.experts.get(0)


def test_an_expert_added_to_the_config_by_hand_is_told_with_the_command(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["experts"].append(spec("four"))
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match="with: openmova assemble RECIPE DST"):
        MovaForConditionalGeneration.from_pretrained(tmp_path)
    config["adapter"]["expert_channels"].append(6)
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no weights of the expert four: .*openmova add-expert"):
        MovaForConditionalGeneration.from_pretrained(tmp_path)


def test_a_repository_is_fetched_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'/no/such/folder' is no folder here and could not be had"):
        MovaForConditionalGeneration.from_pretrained("/no/such/folder")
    tiny_model().save_pretrained(tmp_path)
    asked = {}

    def fetch(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    model = MovaForConditionalGeneration.from_pretrained("someone/some-mova", revision="v2")
    assert (asked["name"], asked["revision"]) == ("someone/some-mova", "v2")
    assert not any("py" in pattern or "bin" in pattern for pattern in asked["allow_patterns"])
    assert model.model.experts.get(0).name == "one"


def test_weights_may_be_split_into_several_files(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    device_map = {"": torch.get_default_device()}
    loaded = MovaForConditionalGeneration.from_pretrained(tmp_path, device_map=device_map)
    inputs = inputs_of(model, [0, 2], with_routing=False)
    same(*(m(**inputs, routing=ROUTING[[0, 2]]).logits for m in (model, loaded)))
    for before, after in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(before, after)


# Errors


def test_errors_name_the_remedy() -> None:
    model = tiny_model()
    inputs = inputs_of(model, [0])
    ids, places = inputs["input_ids"], torch.zeros(1, 4, 16)
    routing, pixels, core = ROUTING[:1], inputs["pixel_values"], model.model
    for told, call in {
        r"set model\.tokenizer": lambda: model.generate(**inputs),
        r"model\.tokenizer": lambda: model(**inputs),
        "pixel_values need a routing": lambda: MovaModel(model.config)(**inputs),
        r"set model\.processor": lambda: model(ids, **image_inputs(1)),
        r"model\.processor": lambda: model.generate(ids, routing=routing, **image_inputs(1)),
        "needs routing_input_ids": lambda: model.encode_images(image_inputs(1)),
        "gate needs the q": lambda: core.image_tokens(**image_inputs(1), routing=routing),
        "1 pictures for 2 prompts": lambda: model(ids.repeat(2, 1), **image_inputs(1)),
        "2 columns but the pool has 3": lambda: model.generate(**inputs, routing=routing[:, :2]),
        "with image_sizes": lambda: model.generate(ids, routing=routing, pixel_values=pixels),
        "use the processor": lambda: model(input_ids=ids[:, :5], image_tokens=places[:, :2]),
        "either input_ids or inputs_embeds": lambda: model(),
    }.items():
        with pytest.raises(ValueError, match=told):
            call()


def test_a_run_of_image_tokens_may_be_cut_at_the_end_only() -> None:
    embeddings, tokens = torch.zeros(1, 4, 2), torch.ones(1, 3, 2)
    cut = merge_image_tokens(embeddings, torch.tensor([[5, 6, 4, 4]]), tokens, 4)
    assert cut.sum(dim=-1).tolist() == [[0, 0, 2, 2]]
    with pytest.raises(ValueError, match="image tokens a row"):
        merge_image_tokens(embeddings, torch.tensor([[5, 4, 4, 6]]), tokens, 4)

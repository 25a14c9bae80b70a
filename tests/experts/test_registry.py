"""A spec finds its class, and a wrong spec its error."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from openmova.errors import UserError
from openmova.experts import KINDS, Expert, build_expert, known_kinds, registry

from .test_base import Dots

SPEC = {"kind": "dots", "name": "d", "descriptions": ["sees dots"]}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with three entry points: a good one, a broken one, one that is no expert."""
    points = {
        "dots": f"{Dots.__module__}:Dots",
        "broken": "no_such_module:Dots",
        "other": "pathlib:Path",
    }
    group = EntryPoints(EntryPoint(k, v, registry.ENTRY_POINTS) for k, v in points.items())
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: group.select(**wanted))


@pytest.mark.usefixtures("installed")
def test_a_package_adds_a_kind_and_the_built_expert_is_frozen() -> None:
    expert = build_expert(SPEC)
    assert isinstance(expert, Dots)
    assert expert.name == "d"
    assert expert.descriptions == ("sees dots",)
    assert not any(parameter.requires_grad for parameter in expert.parameters())
    assert all(p.requires_grad for p in build_expert(SPEC, frozen=False).parameters())
    assert set(known_kinds()) == {*KINDS, "dots", "broken", "other"}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "dot"}, "unknown kind of expert 'dot'; did you mean dots"),
        ({"kind": "zzzzzzz"}, "known are lite2, text, .*, hf, onnx"),
        ({"kind": None}, 'needs a "kind"'),
        ({"kind": "broken"}, "can't be imported: No module named 'no_such_module'; repair"),
        ({"kind": "other"}, "must name a subclass"),
        (
            {"colour": 1},
            "'dots' expert does not fit: .*got an unexpected keyword argument 'colour'",
        ),
    ],
)
def test_a_wrong_spec_gets_an_error_of_one_line(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_expert(SPEC | wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_kind_is_an_expert(kind: str) -> None:
    assert issubclass(registry.expert_class(kind), Expert)

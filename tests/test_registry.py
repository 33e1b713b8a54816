"""The one registry shape: decorator, entry points, lazy import, nearest names."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from whodrew import registry as room
from whodrew.audit import listing
from whodrew.encoders.registry import ENCODERS
from whodrew.errors import UsageError, WhodrewError
from whodrew.identify.registry import IDENTIFIERS
from whodrew.registry import Entry, Registry


@pytest.fixture
def tools() -> Registry[Any]:
    return Registry(
        "tool",
        "whodrew.tools",
        (
            Entry("hammer", "hits", "math:sqrt"),
            Entry("chisel", "cuts", "colorsys:rgb_to_hsv", ("surely_not_there",), "wood"),
        ),
    )


def entry_point(name: str, value: str, package: str | None = "acme") -> EntryPoint:
    point = EntryPoint(name, value, "whodrew.tools")
    vars(point)["dist"] = SimpleNamespace(name=package) if package else None
    return point


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points = [entry_point("saw", "operator:add"), entry_point("hammer", "operator:sub")]
    monkeypatch.setattr(
        room, "entry_points", lambda group: points if group == "whodrew.tools" else []
    )
    return points


def test_decorator_registers_and_gives_the_factory_back(tools: Registry[Any]) -> None:
    @tools.register("plane", "smooths")
    def plane() -> str:
        return "smooth"

    @tools.register("rasp")
    def rasp() -> str:
        """Roughens.

        Not this line.
        """
        return "rough"

    assert plane() == "smooth"
    assert tools.get("plane") is plane
    assert tools.names() == ["hammer", "chisel", "plane", "rasp"]
    assert {entry.name: entry.summary for entry in tools.entries()}["rasp"] == "Roughens."


def test_a_later_registration_replaces_an_earlier_one(tools: Registry[Any]) -> None:
    tools.register("hammer")(len)
    assert tools.get("hammer") is len
    assert tools.names().count("hammer") == 1


def test_builtin_is_imported_when_asked_for_and_not_before(tools: Registry[Any]) -> None:
    import math

    lazy = Registry[Any]("tool", "whodrew.tools", (Entry("late", "", "this_module_is_not:x"),))
    assert lazy.names() == ["late"]
    lazy.check("late")
    with pytest.raises(ModuleNotFoundError):
        lazy.get("late")
    assert tools.get("hammer") is math.sqrt
    assert tools.get("hammer") is tools.get("hammer")


@pytest.mark.usefixtures("third_party")
def test_third_parties_are_namespaced_and_cannot_take_our_names(tools: Registry[Any]) -> None:
    import math
    import operator

    assert tools.names() == ["hammer", "chisel", "acme/saw", "acme/hammer"]
    assert tools.get("acme/saw") is operator.add
    assert tools.get("acme/hammer") is operator.sub
    assert tools.get("hammer") is math.sqrt
    with pytest.raises(UsageError, match="did you mean acme/saw"):
        tools.get("saw")
    assert {entry.name: entry.summary for entry in tools.entries()}["acme/saw"] == (
        "from operator:add"
    )


def test_an_entry_point_of_no_package_has_a_name(
    tools: Registry[Any], third_party: list[EntryPoint]
) -> None:
    third_party[:] = [entry_point("saw", "operator:add", None)]
    assert "unknown/saw" in tools.names()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hamer", "unknown tool 'hamer': did you mean hammer?"),
        ("chissel", "unknown tool 'chissel': did you mean chisel?"),
        ("zzzzz", "unknown tool 'zzzzz': known: hammer, chisel"),
        ("", "unknown tool '': known: hammer, chisel"),
    ],
)
def test_unknown_name_answers_with_the_nearest(tools: Registry[Any], typed: str, said: str) -> None:
    for ask in (tools.get, tools.check):
        with pytest.raises(UsageError) as refused:
            ask(typed)
        assert str(refused.value) == said


def test_what_is_missing_is_listed_with_the_line_that_installs_it(
    tools: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "ENCODERS", tools)
    hammer, chisel = listing.encoders()
    assert (hammer.ready, hammer.install) == (True, None)
    assert (chisel.ready, chisel.install) == (False, "pip install 'whodrew[wood]'")
    assert chisel.to_dict() == {
        "name": "chisel",
        "summary": "cuts",
        "needs": ["surely_not_there"],
        "ready": False,
        "install": "pip install 'whodrew[wood]'",
    }
    assert "colorsys" not in vars(tools)["_loaded"]


def test_our_own_registries_hold_what_the_contract_names() -> None:
    assert "fingerprint" in ENCODERS.names()
    wanted = {"nearest-centroid", "whitened-centroid", "k-nearest", "linear-probe"}
    assert wanted <= set(IDENTIFIERS.names())
    for registry in (ENCODERS, IDENTIFIERS):
        for entry in registry.entries():
            assert entry.summary
            name = entry.name if entry.argument is None else f"{entry.name}:x"
            if not entry.missing:
                assert callable(registry.get(name))
    assert "surely_not_there" not in sys.modules


def test_a_family_is_called_with_what_follows_its_colon() -> None:
    tools: Registry[Any] = Registry(
        "tool",
        "tests.tools",
        (
            Entry("saw", "cuts", "builtins:str", argument="BLADE"),
            Entry("hammer", "hits", "builtins:str"),
            Entry("laser", "burns", "nowhere:x", ("surely_not_there",), "light", "MODEL"),
        ),
    )
    assert tools.get("saw:fine:1.5")() == "fine:1.5"
    assert tools.names() == ["saw:BLADE", "hammer", "laser:MODEL"]
    for typed, said in (
        ("saw", "tool 'saw' needs more: saw:BLADE"),
        ("saw:", "tool 'saw' needs more: saw:BLADE"),
        ("hammer:x", "tool 'hammer' takes nothing after a colon: 'hammer:x'"),
        ("laser:x", "tool 'laser:x' needs an extra: pip install 'whodrew[light]'"),
    ):
        for ask in (tools.get, tools.check):
            with pytest.raises(WhodrewError) as refused:
                ask(typed)
            assert str(refused.value) == said

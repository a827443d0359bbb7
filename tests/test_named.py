"""Our NamedTuple does as that of the module typing does."""

import copy
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type

import pytest

from ebpfless_arch import named


class Theirs(NamedTuple):
    """Made by typing."""

    name: str
    table: Dict[str, int]
    size: int = 7
    other: "Optional[Theirs]" = None

    def __str__(self) -> str:
        return "<%s>" % self.name

    @property
    def double(self) -> int:
        """A property beside the fields."""
        return self.size * 2


class Ours(named.NamedTuple):
    """Made by us."""

    name: str
    table: Dict[str, int]
    size: int = 7
    other: "Optional[Ours]" = None

    def __str__(self) -> str:
        return "<%s>" % self.name

    @property
    def double(self) -> int:
        """A property beside the fields."""
        return self.size * 2


class Further(Ours):
    """Derived from one, and made before any of that one was."""


BOTH = pytest.mark.parametrize("kind", [Theirs, Ours, Further])


@BOTH
def test_values_are_a_tuple_with_names(kind: Type[Any]) -> None:
    for made in (kind("a", {"b": 1}), kind(table={"b": 1}, name="a"), kind._make(["a", {"b": 1}, 7, None])):
        assert made == ("a", {"b": 1}, 7, None) and isinstance(made, tuple) and type(made) is kind
        assert (made.name, made.table, made.size, made.other, made.double, str(made)) == ("a", {"b": 1}, 7, None, 14, "<a>")
    assert (kind._fields, kind._field_defaults) == (("name", "table", "size", "other"), {"size": 7, "other": None})
    assert repr(made) == kind.__name__ + "(name='a', table={'b': 1}, size=7, other=None)"


@BOTH
def test_they_are_changed_and_copied(kind: Type[Any]) -> None:
    made = kind("a", {}, 3)
    assert made._replace(name="b", size=4) == ("b", {}, 4, None) and type(made._replace(name="b")) is kind
    assert dict(made._asdict()) == {"name": "a", "table": {}, "size": 3, "other": None}
    assert copy.deepcopy(made) == made and type(copy.copy(made)) is kind


@BOTH
def test_what_does_not_fit_is_refused(kind: Type[Any]) -> None:
    wrong: List[Tuple[Tuple[Any, ...], Dict[str, Any]]] = [
        ((), {}), (("a",), {}), (("a", {}, 1, None, 2), {}), (("a", {}), {"colour": 1}), (("a", {}), {"name": "b"})]
    for arguments, more in wrong:
        with pytest.raises(TypeError):
            kind(*arguments, **more)
    made = kind("a", {})
    with pytest.raises((ValueError, TypeError)):
        made._replace(colour=1)
    with pytest.raises(AttributeError):
        made.name = "b"

"""NamedTuple as in the module typing, whose classes are made in a fraction of the time: a start makes a hundred of them, and
typing's compiles a constructor for each. Here that is done when a class is first called."""

import collections
import sys
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 14):  # from then on annotations are not to be had when a class is made
    from typing import NamedTuple as NamedTuple
else:
    # What reads a field: Python's own since 3.8.
    _getter = getattr(collections, "_tuplegetter", None) or (lambda index, text: property(itemgetter(index), doc=text))

    class _Base(tuple):
        """What all of them can do, as collections.namedtuple tells it."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}

        def __new__(cls, *values, **named):
            own = next(each for each in cls.__mro__ if "_fields" in vars(each))
            words = ", ".join(own._fields)
            make = eval("lambda _cls, %s: _new(_cls, (%s,))" % (words, words), {"_new": tuple.__new__})
            make.__defaults__ = tuple(own._field_defaults.values())
            own.__new__ = staticmethod(make)  # from now on
            return make(cls, *values, **named)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changes):
            found = tuple.__new__(type(self), map(changes.pop, self._fields, self))
            if changes:
                raise ValueError("no such fields: %s" % ", ".join(changes))
            return found

        def _asdict(self):
            return dict(zip(self._fields, self))

        def __getnewargs__(self):  # for the module copy
            return tuple(self)

        def __repr__(self):
            return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % each for each in zip(self._fields, self)))

    class _Maker(type):
        """Makes a class that has NamedTuple as its base one on _Base."""

        def __new__(cls, name, bases, space):
            fields = tuple(space["__annotations__"])
            space["_field_defaults"] = {field: space[field] for field in fields if field in space}
            space.update((field, _getter(number, None)) for number, field in enumerate(fields))
            return type(name, (_Base,), dict(space, _fields=fields, __slots__=()))

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})

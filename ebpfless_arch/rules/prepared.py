"""The built-in policy without the work of parsing, checking and compiling it at each start.

`scripts/reference` writes what loading it gives as Python, into prepared_default.py. That is used as long as it was made of
the very policy that is there; another one is loaded as any policy is.
"""

import binascii
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from ebpfless_arch.events.interest import packed_cases, unpacked_cases
from ebpfless_arch.events.model import Process
from ebpfless_arch.events.users import Users
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.files import BUILT_IN, PolicyFile, read_data
from ebpfless_arch.rules.loaded import LoadedPolicies
from ebpfless_arch.rules.ruleset import Rule
from ebpfless_arch.rules.store import Store
from ebpfless_arch.rules.typed import Checked, Compiled, Const, Test

if TYPE_CHECKING:
    from ebpfless_arch.rules.fields import FieldTable

# Nobody narrows by it: the cases of all rules are known already.
_ANY = Const("bool", True)


class Prepared(NamedTuple):
    """A rule: its entry in the policy, its event, the fields that it reads, and itself."""

    entry: Dict[str, object]
    event_type: str
    fields: Tuple[str, ...]
    test: Test


def digest(data: bytes) -> int:
    """Tells a policy from another one, against mistakes only: who can change it can change the program as well."""
    return binascii.crc32(data)


def nobody() -> Process:
    """The process that rules see where there is none."""
    return Process(Users(), 0, 0)


def built_in() -> Optional[LoadedPolicies]:
    """The built-in policy, None where it is not the one that was prepared."""
    from ebpfless_arch.rules import prepared_default as made

    if digest(read_data(BUILT_IN)) != made.DIGEST:
        return None
    policy = PolicyFile(BUILT_IN, "default", made.VERSION, [], [rule.entry for rule in made.RULES])
    rules = [Rule(rule.entry, policy, str(rule.entry["id"]), _compiled(rule)) for rule in made.RULES]
    return LoadedPolicies([policy], rules, [], [], Store(), cases=unpacked_cases(made.CASES))


def _compiled(rule: Prepared) -> Compiled:
    return Compiled(rule.test, Checked(_ANY, rule.event_type, frozenset(rule.fields), "", "", ()))


# --- how it is made ---------------------------------------------------------------------

_HEAD = '''"""The built-in policy, prepared (see prepared.py). Made by `scripts/reference` from default.json: change that one."""

from typing import Any, Dict, Tuple

from ebpfless_arch.rules.patterns import later
from ebpfless_arch.rules.prepared import Prepared, nobody

NOBODY = nobody()
_here = globals()
'''


def page(loaded: LoadedPolicies, table: "FieldTable") -> str:
    """The source of prepared_default.py. Raises ValueError for a policy that has more to it than rules which run anywhere."""
    import re

    from ebpfless_arch.rules.compile import written
    from ebpfless_arch.rules.narrowing import needed_cases

    policy, = loaded.policies
    if loaded.problems or loaded.skipped or loaded.idle_actions or loaded.variables.definitions:
        raise ValueError("the built-in policy holds what cannot be prepared")
    sources, constants = written([rule.checked for rule in loaded.rules], table)
    parts = [_HEAD, "DIGEST = %d" % digest(read_data(BUILT_IN)), "VERSION = %r" % policy.version,
             "CASES: Dict[str, Any] = " + _shown(packed_cases(needed_cases(loaded.rules))), ""]
    names: Dict[str, str] = {}
    for name, value in constants.items():
        names[name] = names.setdefault(_made(value), name)
    parts += ["%s = %s" % (name, _made(value).replace("NAME", repr(name), 1)) for name, value in constants.items()
              if names[name] == name]
    for number, source in enumerate(sources):
        body = re.sub(r"\bk\d+\b", lambda found: names[found.group()], source.rstrip())
        parts.append("\n\ndef _rule_%d(e: Any) -> Any:\n%s" % (number, body))
    parts += ["\n\nRULES: Tuple[Prepared, ...] = ("]
    parts += ["    Prepared(%s, %r, %s, _rule_%d)," % (_shown(rule.entry), rule.event_type,
                                                     _shown(tuple(sorted(rule.checked.fields))), number)
              for number, rule in enumerate(loaded.rules)]
    return "\n".join(parts) + "\n)\n"


def _made(value: Any) -> str:
    """How a constant is made; where that has to know the name of it, NAME stands for it."""
    from ebpfless_arch.rules.patterns import TextSet

    if isinstance(value, TextSet):
        return "later(_here, NAME, %s%s)" % (_shown([shape.literal for shape in value.shapes]), ", True" * value.folded)
    return _shown(value)


def _shown(value: Any) -> str:
    """Plain data as Python reads them, the same whenever that is asked."""
    if isinstance(value, frozenset):
        return "frozenset(%s)" % _shown(sorted(value))
    if isinstance(value, Mapping):
        return "{%s}" % ", ".join("%r: %s" % (key, _shown(item)) for key, item in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(_shown, value))
    if isinstance(value, tuple):
        return "(%s)" % "".join(_shown(item) + ", " for item in value).rstrip(" ")
    if value is None or isinstance(value, (bool, int, str, bytes)):
        return repr(value)
    raise ValueError("the built-in policy holds what cannot be prepared: %r" % (value,))

"""Regular expressions of SECL: RE2 in Go syntax, matched in linear time.

The text (regex_text.py) becomes a nondeterministic automaton; a search
walks the subject once with the set of its live states, and remembers the
transitions it has met (a deterministic automaton built as far as needed). There
is no backtracking, so no pattern and no subject can make a search hang: the
cost is the length of the subject times the size of the pattern at worst, and
one dictionary look-up per character as a rule. The automaton is bounded by
MAX_STATES, the memory by MAX_CACHE, and one search by MAX_WORK: what would take
longer (a second or two; some thousand states and a subject made for it) is
given up and does not match.

Python's own `re` is not used: it backtracks, and differs in `$`, `\\Z`, in the
classes of POSIX and Unicode, and in what it refuses.
"""

from typing import Callable, Dict, FrozenSet, List, Optional, Set, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.needles import needles
from ebpfless_arch.rules.regex_text import Chars, Item, RegexError, parse

MAX_STATES = 4000
MAX_CACHE = 200
MAX_WORK = 1000000


class _State(NamedTuple):
    """A state of the automaton: it consumes `chars`, or asserts `sign`, or only forks."""

    chars: Optional[Chars]
    sign: str
    following: Tuple[int, ...]


_MATCH = 0


class _Builder:
    """Turns items into states, from the end to the start; state 0 is the match."""

    def __init__(self) -> None:
        self.states: List[_State] = [_State(None, "", ())]

    def add(self, chars: Optional[Chars], sign: str, following: Tuple[int, ...]) -> int:
        if len(self.states) >= MAX_STATES:
            raise RegexError(f"the regular expression needs more than {MAX_STATES} states")
        self.states.append(_State(chars, sign, following))
        return len(self.states) - 1

    def build(self, item: Item, after: int) -> int:
        """The entry of `item` when `after` follows it."""
        if item.kind == "chars":
            return self.add(item.chars, "", (after,))
        if item.kind == "assert":
            return self.add(None, item.sign, (after,))
        if item.kind == "cat":
            for part in reversed(item.items):
                after = self.build(part, after)
            return after
        if item.kind == "alt":
            return self.add(None, "", tuple(self.build(part, after) for part in item.items))
        return self.repeat(item, after) if item.kind == "repeat" else after

    def repeat(self, item: Item, after: int) -> int:
        body = item.items[0]
        if item.most < 0:
            loop = self.add(None, "", ())
            entry = self.build(body, loop)
            self.states[loop] = _State(None, "", (entry, after))
            after = loop
        for _ in range(item.most - item.least):
            after = self.add(None, "", (self.build(body, after), after))
        for _ in range(item.least):
            entry = self.build(body, after)
            if entry == after:
                break  # The body is empty; going on would cost time and add nothing.
            after = entry
        return after


_Core = Tuple[FrozenSet[int], str]
_HOLDS: Dict[str, Callable[[str, str], bool]] = {
    "start": lambda before, after: before == "edge",
    "end": lambda before, after: after == "edge",
    "line start": lambda before, after: before in ("edge", "newline"),
    "line end": lambda before, after: after in ("edge", "newline"),
    "boundary": lambda before, after: (before == "word") != (after == "word"),
    "inside": lambda before, after: (before == "word") == (after == "word"),
}


def _kind(char: str) -> str:
    """What an assertion can tell about a character."""
    if char == "\n":
        return "newline"
    return "word" if char == "_" or (char < "\x80" and char.isalnum()) else "other"


class _TooLong(Exception):
    """A search has taken MAX_WORK."""


class Regex:
    """A compiled expression; `search` tells whether it occurs in a text."""

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        builder = _Builder()
        item = parse(text, ignore_case)
        self.needles = needles(item)
        self.entry = builder.build(item, _MATCH)
        self.states = builder.states
        self.first: _Core = (frozenset(), "edge")
        self.moves: Dict[_Core, Dict[str, Optional[_Core]]] = {}
        self.work = 0

    def search(self, text: str) -> bool:
        """True when some part of `text` matches; False as well when that cannot be told with MAX_WORK."""
        if not self._may_match(text):
            return False
        self.work = 0
        try:
            return self._search(text)
        except _TooLong:
            return False

    def _may_match(self, text: str) -> bool:
        """Whether one of the needles is there; most texts have none, and need no search."""
        for needle in self.needles:
            if needle in text:
                return True
        return not self.needles

    def _search(self, text: str) -> bool:
        core = self.first
        moves = self.moves
        for char in text:
            known = moves.get(core)
            if known is None or char not in known:
                known = self.learn(core, char)
            after = known[char]
            if after is None:
                return True
            core = after
        known = moves.get(core)
        if known is None or "" not in known:
            known = self.learn(core, "")
        return known[""] is None

    def learn(self, core: _Core, char: str) -> Dict[str, Optional[_Core]]:
        """Works out where `char` ("" for the end) leads from `core`: the next core, None for a match."""
        if len(self.moves) >= MAX_CACHE:
            self.moves.clear()
        known = self.moves.setdefault(core, {})
        if len(known) >= MAX_CACHE:
            known.clear()
        kind = _kind(char) if char else "edge"
        live = self.reach(core, kind)
        self.work += len(live)
        if self.work > MAX_WORK:
            raise _TooLong
        if _MATCH in live:
            known[char] = None
            return known
        ahead = frozenset(state.following[0] for state in (self.states[number] for number in live)
                          if char and state.chars is not None and state.chars.holds(char))
        known[char] = (ahead, kind)
        return known

    def reach(self, core: _Core, after: str) -> Set[int]:
        """All states that are live between two characters, the entry included."""
        found: Set[int] = set()
        waiting = list(core[0]) + [self.entry]
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            found.add(number)
            state = self.states[number]
            if state.chars is None and (not state.sign or _HOLDS[state.sign](core[1], after)):
                waiting.extend(state.following)
        return found

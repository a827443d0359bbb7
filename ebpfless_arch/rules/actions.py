"""What a rule does besides being told: `set`, `hash`, `log`, `kill`, `deny`.

How an entry of `actions` becomes one of these is told by planning.py. The rule
floor itself carries out `set` and `hash`; for the others the agent lends its hands.
"""

from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Tuple

from ebpfless_arch.events.model import Event
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.limits import Limiter

if TYPE_CHECKING:
    from ebpfless_arch.rules.ruleset import Rule
    from ebpfless_arch.rules.store import Store
    from ebpfless_arch.rules.typed import Test

LEVELS = ("debug", "info", "warning", "error")
KILL_SCOPES = ("process", "container", "cgroup")

# The keys of each action; of those that only other agents carry out they are not checked.
KEYS: Dict[str, Tuple[str, ...]] = {
    "set": ("name", "value", "field", "expression", "default_value", "append", "scope", "scope_field", "inherited",
            "ttl", "size", "private"),
    "kill": ("signal", "scope", "disable_container_disarmer", "disable_executable_disarmer"),
    "hash": ("field", "max_file_size"), "log": ("level", "message"), "deny": ("errno",),
    "coredump": (), "network_filter": ()}

_Read = Callable[[object], object]


class Hands(NamedTuple):
    """What only the agent can do.

    log: takes level, message ("" when the policy gives none), rule and event.
    perform: takes a Kill or Deny, rule and event.
    """

    log: Callable[[str, str, "Rule", Event], None]
    perform: Callable[["Action", "Rule", Event], None]


class Action:
    """One action, ready to run; `condition` is its filter, None without one."""

    kind = ""

    def __init__(self) -> None:
        self.condition: "Optional[Test]" = None

    def run(self, rule: "Rule", event: Event, hands: Hands) -> None:
        """Does it, whatever the condition says; for `kill` and `deny` the agent does."""
        hands.perform(self, rule, event)


class Set(Action):
    """Sets the variable `name`, or adds to it, for the event's process or that of the pid that `target` reads."""

    kind = "set"

    def __init__(self, store: "Store", name: str, read: _Read, append: bool, target: Optional[_Read]) -> None:
        Action.__init__(self)
        self.name = name
        self.append = append
        self._store = store
        self._read = read
        self._target = target

    def run(self, rule: "Rule", event: Event, hands: Hands) -> None:
        """Stores the value; nothing where there is no container, cgroup or process to store it for."""
        process = event.process
        if self._target is not None:
            pid = self._target(event)
            assert isinstance(pid, int)
            found = self._store.find_process(pid)
            if found is None:
                return
            process = found
        self._store.put(self.name, process, event.time, self._read(event), self.append)


class Hash(Action):
    """Computes the digests of the file `field`; they are kept with it."""

    kind = "hash"

    def __init__(self, field: str, read: _Read) -> None:
        Action.__init__(self)
        self.field = field
        self._read = read

    def run(self, rule: "Rule", event: Event, hands: Hands) -> None:
        """Reads the file, if nothing forbids it."""
        self._read(event)


class Log(Action):
    """Says something; `level` is one of LEVELS. Its limit is like the rule's, but its own."""

    kind = "log"

    def __init__(self, level: str, read: _Read, limiter: Limiter) -> None:
        Action.__init__(self)
        self.level = level
        self.limiter = limiter
        self._read = read

    def run(self, rule: "Rule", event: Event, hands: Hands) -> None:
        """Hands level and message to the agent, as often as the limit allows."""
        if self.limiter.allows(event):
            hands.log(self.level, str(self._read(event)), rule, event)


class Kill(Action):
    """Sends a signal. `number` is that of `signal`, `scope` one of KILL_SCOPES.

    The disarmers stop an action that hits too many containers or executables,
    unless they are disabled.
    """

    kind = "kill"

    def __init__(self, signal: str, scope: str, container_disarmer: bool, executable_disarmer: bool) -> None:
        Action.__init__(self)
        self.signal = signal
        self.number = CONSTANTS[signal]
        self.scope = scope
        self.container_disarmer = container_disarmer
        self.executable_disarmer = executable_disarmer


class Deny(Action):
    """Refuses the system call with `errno`, a positive number."""

    kind = "deny"

    def __init__(self, number: int) -> None:
        Action.__init__(self)
        self.errno = number


def run_actions(rule: "Rule", event: Event, hands: Hands) -> None:
    """Runs what the rule does about an event that it matches; `set` actions come first."""
    for action in rule.actions:
        if action.condition is None or action.condition(event):
            action.run(rule, event, hands)


def in_order(actions: List[Action]) -> List[Action]:
    """The actions as they run: every set action before the others, otherwise as written."""
    return sorted(actions, key=lambda action: action.kind != "set")

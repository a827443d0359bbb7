"""How often a rule may be told: token buckets that go by the time of events, not by the clock.

A limit holds back the telling only, by a detection or by the action `log`; the
other actions of a rule run all the same. What was held back is counted.
"""

from collections import OrderedDict
from typing import Callable, Tuple

from ebpfless_arch.events.model import Event

# One event per 100 ms, 40 at once: the published engine's.
DEFAULT_INTERVAL = 100 * 10**6
DEFAULT_BURST = 40
_VALUES_AT_MOST = 500
# Threads' events come out of order by less than that; beyond it, somebody has set the clock back.
_BACK_AT_MOST = 10**9

Token = Callable[[object], object]


class Bucket:
    """A token bucket: `burst` at once, then one per `interval` (ns). It is full at first."""

    __slots__ = ("interval", "burst", "_full_at")

    def __init__(self, interval: int, burst: int) -> None:
        self.interval = interval
        self.burst = burst
        self._full_at = 0

    def take(self, time: int, tokens: int = 1) -> bool:
        """Whether `tokens` are there at `time` (ns); they are gone then. More than `burst` never are."""
        if self._full_at - time > self.burst * self.interval + _BACK_AT_MOST:
            self._full_at = 0
        full_at = max(self._full_at, time) + tokens * self.interval
        if full_at - time > self.burst * self.interval:
            return False
        self._full_at = full_at
        return True


class Limiter:
    """The limit of one rule. `held_back` counts the events that were not let through.

    every: the least time between two events in ns, 0 for the default limit.
    tokens: functions of an event with values that can be keys; each combination of their values has a
    bucket of its own, and the one not used for longest goes when there are too many. So has each tracer
    that reports to a probe: no one's noise, or clock, hides what others do.
    """

    def __init__(self, every: int = 0, tokens: Tuple[Token, ...] = ()) -> None:
        self.every = every
        self.interval = every or DEFAULT_INTERVAL
        self.burst = 1 if every else DEFAULT_BURST
        self.held_back = 0
        self._tokens = tokens
        self._buckets: "OrderedDict[object, Bucket]" = OrderedDict()

    def fresh(self) -> "Limiter":
        """Another one with the same limit, of which nothing is used up."""
        return Limiter(self.every, self._tokens)

    def take_over(self, former: "Limiter") -> None:
        """Go on where another one of the same limit and the same tokens has come to."""
        self.held_back = former.held_back
        self._buckets = former._buckets

    def allows(self, event: Event) -> bool:
        """Whether the event may be told; call it once for each."""
        if self._bucket_of(event).take(event.time):
            return True
        self.held_back += 1
        return False

    def _bucket_of(self, event: Event) -> Bucket:
        key = (event.context.tracer,) + tuple([token(event) for token in self._tokens])
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self.interval, self.burst)
            if len(self._buckets) > _VALUES_AT_MOST:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket

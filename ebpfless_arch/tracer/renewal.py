"""The life of a tracer process, with another one standing by for it. In trouble it becomes a new one: it executes itself
anew and keeps its ptrace links (they survive execve).

The tracees never notice: those that come to a stop meanwhile wait for some 30 ms, and no call of theirs fails. If even
that is impossible, the tracer ends and the one that stands by, or the keeper, takes over.
"""

import errno
import marshal
import os
import time
from typing import Any, List, Optional, Tuple

from ebpfless_arch.abi import MACHINES
from ebpfless_arch.events import records
from ebpfless_arch.kernel import channels, process
from ebpfless_arch.kernel.features import Features
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import afresh, privileges, standby, watchdog
from ebpfless_arch.tracer.engine import ALONE, DONE, Engine, Snapshot
from ebpfless_arch.tracer.launch import DRAIN_SECONDS, NAME, make_engine
from ebpfless_arch.tracer.orders import Plan
from ebpfless_arch.tracer.pipe import Ends, Link, open_ends
from ebpfless_arch.tracer.pulse import Pulse

_START = "from ebpfless_arch.tracer import renewal; renewal.go_on(sys.argv[2])"
_RENEWALS_AT_MOST = 5
_ROOM = 1 << 20
_LONG_AGO_NS = 60 * 10 ** 9


class State(NamedTuple):
    """What the new image has to know; `engine` is Engine.snapshot(), `link` has descriptors."""

    plan: Tuple[Any, ...]
    features: Tuple[Any, ...]
    link: Tuple[int, int, int]
    engine: Snapshot
    standby: int
    since: int
    renewals: int


def trace(engine: Engine, plan: Plan, found: Features, link: Link, ends: Ends, former: Optional[State] = None) -> None:
    """Let an engine run to its end; where it fails, go on in a new image. Raises OSError where that cannot be.

    This is the way of the stand-by, too, once it has taken over.
    """
    deaths: List[standby.Death] = []
    outcome = DONE
    main, may_trace = engine.main, privileges.suffice_for_the_shut()
    while True:
        if engine.watched and not engine.standby:
            process.shut(may_trace)  # who stands by has to get at us
            child, tracer = _fork(ends)
            if child == 0:
                process.shut()
                # Those before it are not settled if it was killed over them.
                deaths.append(standby.attend(tracer))
                link.pulse.deaths.value += 1
                process.set_name(NAME)
                engine, plan, ends = _successor(plan, found, link)
                continue  # it will need somebody as well, and now, while nothing has been let go
            engine.standby, engine.watched = max(child, 0), child > 0
            if deaths or not may_trace:
                standby.await_watch(engine.standby)
        process.shut()
        if deaths:
            gap = standby.succeed(engine, deaths, plan.keeper, main, link.pulse)
            deaths, former = [], None
            if gap.problem and not gap.threads:
                # Nor could the keeper: it waits for the command, which has no tracer any more.
                text = "the tracer was killed, and its processes cannot be traced again: " + gap.problem
                ends.writer.put((records.STATE, records.now(), 0, 0, records.FAILED, text))
                engine.dismiss_standby()
                break
            ends.writer.put((records.STATE, records.now(), main, main, records.GAP, (link.pulse.deaths.value, str(gap))))
        ends.writer.put((records.STATE, records.now(), main, main, records.TRACER, (os.getpid(), engine.standby)))
        ends.writer.flush()
        outcome = engine.run()
        if outcome != ALONE:
            break
    ends.writer.drain(DRAIN_SECONDS)
    if outcome != DONE:
        _renew(engine, plan, found, link, former)


def _fork(ends: Ends) -> Tuple[int, int]:
    """Have a copy of this process stand by: returns its id (0 in the copy, -1 where there can be none) and ours."""
    ends.writer.flush()
    try:
        return standby.fork()
    except OSError:
        return -1, 0


def _successor(plan: Plan, found: Features, link: Link) -> Tuple[Engine, Plan, Ends]:
    """An engine for a tracer that takes another one's place; it looks at no file's attributes if those held that one up."""
    held = link.pulse.held()
    if held is not None and time.monotonic() - held.since >= watchdog.HOPELESS_SECONDS:
        plan = plan._replace(attributes=False)
    link.pulse.end()
    ends = open_ends(link)
    return make_engine(MACHINES[os.uname().machine], found, plan, ends)[0], plan, ends


def _renew(engine: Engine, plan: Plan, found: Features, link: Link, former: Optional[State]) -> None:
    now = records.now()
    renewals = former.renewals if former is not None and now - former.since < _LONG_AGO_NS else 0
    if renewals >= _RENEWALS_AT_MOST:
        raise OSError(errno.ELOOP, "the tracer fails again and again")
    # The command line may be long, and nobody needs it any more.
    _become(State(tuple(plan._replace(command=[])), tuple(found), (link.output, link.verdicts, link.pulse.descriptor),
                  engine.snapshot(), engine.standby, now, renewals + 1))


def _become(state: State) -> None:
    """Execute Python anew, with the state waiting in a pipe; raises OSError."""
    ends = channels.make(channels.STREAM, _ROOM)
    os.set_blocking(ends[1], False)
    data = marshal.dumps(tuple(state))
    if os.write(ends[1], data) < len(data):
        raise OSError(errno.EAGAIN, "too many threads for a pipe")
    os.close(ends[1])
    for descriptor in state.link + (ends[0],):
        if descriptor >= 0:
            os.set_inheritable(descriptor, True)
    words = afresh.command(_START, str(ends[0]))
    os.execv(words[0], words)


def go_on(descriptor: str) -> None:
    """The new image: take the state and trace on."""
    process.shut()
    with open(int(descriptor), "rb") as file:
        state = State(*marshal.load(file))
    plan, found = Plan(*state.plan), Features(*state.features)
    process.set_name(NAME)
    link = Link(state.link[0], state.link[1], Pulse(state.link[2]))
    ends = open_ends(link)
    engine, _ = make_engine(MACHINES[os.uname().machine], found, plan, ends)
    engine.standby = state.standby
    lost = engine.restore(state.engine)
    main = state.engine[0]
    ends.writer.put(records.blind(
        records.now(), main, main, "the tracer failed and has started itself anew: its tracees waited %.1f ms at most; the "
        "results of %d calls were not seen" % ((records.now() - state.since) / 1e6, lost)))
    trace(engine, plan, found, link, ends, state)

"""Attach mode's tracer process: it takes hold of running programs, or says in one line each why it cannot."""

from typing import Sequence

from ebpfless_arch.abi import Abi
from ebpfless_arch.events import records
from ebpfless_arch.kernel.features import Features
from ebpfless_arch.tracer import launch, renewal
from ebpfless_arch.tracer.attached import AttachedEngine
from ebpfless_arch.tracer.orders import Plan, Start
from ebpfless_arch.tracer.pipe import Ends, Link


def run(abis: Sequence[Abi], plan: Plan, found: Features, link: Link, ends: Ends, start: Start) -> None:
    """The tracer process from its plan to its end."""
    engine, _ = launch.make_engine(abis, found, plan, ends)
    assert isinstance(engine, AttachedEngine)
    launch.step_aside(start.inherited, start.overseen)
    launch.stay_with_keeper(plan.keeper)
    attached = 0
    for pid, birth in zip(plan.pids, plan.births):
        problem = engine.take(pid, birth)
        if problem:
            ends.writer.put((records.STATE, records.now(), pid, pid, records.REFUSED, problem))
        else:
            attached += 1
    if attached or plan.follows:
        ends.writer.put((records.STATE, records.now(), 0, 0, records.STARTED, tuple(found)))
        renewal.trace(engine, plan, found, link, ends)
    ends.writer.drain(launch.DRAIN_SECONDS)

"""`ebpfless trace` on its own: tracer -> processes -> rules -> outputs in one agent."""

import os

from ebpfless_arch.abi import MACHINES
from ebpfless_arch.agent.options import TraceOptions, UsageError
from ebpfless_arch.tracer.keeper import Keeper, die_like
from ebpfless_arch.tracer.launch import FAILED, Plan


def trace(options: TraceOptions) -> int:
    """Run a command under trace; returns the exit status, unless the command's end is followed by signal.

    Raises UsageError, before anything has started, for what the user has to change.
    """
    abis = MACHINES.get(os.uname().machine)
    if abis is None:
        raise UsageError("this machine (%s) is not supported; supported are: %s"
                         % (os.uname().machine, ", ".join(sorted(MACHINES))))
    _check_proc()
    with Keeper(abis) as keeper:
        return _run(keeper, options)


def _check_proc() -> None:
    """The view of processes must be our own: all paths and identities come from there."""
    try:
        shown = os.readlink("/proc/self")
    except OSError:
        raise UsageError("/proc is not mounted here, and nothing can be seen without it: mount -t proc proc /proc")
    if shown != str(os.getpid()):
        raise UsageError("/proc shows another pid namespace (we are %d there, %d here): mount -t proc proc /proc"
                         % (int(shown), os.getpid()))


def _run(keeper: Keeper, options: TraceOptions) -> int:
    # Only now: the tracer, forked a moment ago, must not carry what this loads.
    from ebpfless_arch.agent import evaluation

    agent, interest = evaluation.prepare(options)
    plan = Plan([os.fsencode(word) for word in options.command], sorted(interest.events), interest.failures, sorted(interest.denied),
                options.use_filter, options.attributes, options.uid, options.gid, os.getpid())
    outcome = keeper.launch(plan, agent, options.wait_all)
    agent.conclude(outcome.problem, options.verbose)
    return die_like(outcome.status) if outcome.status >= 0 else FAILED

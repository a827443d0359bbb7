"""`ebpfless trace`: tracer -> processes -> rules -> outputs in one agent, until a probe answers."""

import os
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.agent.settings import SWITCHES
from ebpfless_arch.events.interest import Interest, packed
from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer.keeper import Keeper
from ebpfless_arch.tracer.orders import FAILED, Plan
from ebpfless_arch.tracer.passing import die_like
from ebpfless_arch.tracer.receiver import Receiver

_NOTHING_ATTACHED = 1
# A command that is over sooner is not worth a second process.
_SYSTEM_DELAY_SECONDS = 1.0
# Of use only where there is a probe.
_OF_A_LINK = ("runtime_security_config.ebpfless.secret_file", "trace.wait_probe", "trace.spool", "trace.spool_file")

if TYPE_CHECKING:
    from ebpfless_arch.agent.config import Config
    from ebpfless_arch.agent.evaluation import Agent
    from ebpfless_arch.agent.following import Following


def trace(command: List[str], config_file: str, flags: Mapping[str, Any]) -> int:
    """Run a command under trace; returns the exit status, unless the command's end is followed by signal.

    `config_file` is "" for the usual one, `flags` are the settings that options gave, by their keys.

    Raises UsageError, before anything has started, for what the user has to change.
    """
    _check_proc()
    with Keeper() as keeper:
        _check_machine()
        # Only now: the tracer, forked a moment ago, must not carry what this loads.
        from ebpfless_arch.agent import config

        settings = config.load(config_file, flags)
        if "trace.attach_level" in flags:
            raise UsageError("%s is for programs that run already (--pid, --follow); of a COMMAND all is seen"
                             % settings.values["trace.attach_level"].origin)
        words = [os.fsencode(word) for word in command]
        if settings.enabled:
            return _run(keeper, words, settings)
    _tell_why_not(settings)
    from ebpfless_arch.tracer.launch import run_untraced

    return run_untraced(words, settings["trace.uid"], settings["trace.gid"])


def attach(pids: List[int], followed: List[str], config_file: str, flags: Mapping[str, Any]) -> int:
    """Trace running processes until they end or a signal says that it is enough, and those that are `followed` whenever
    they run; returns the exit status. Raises UsageError as `trace`."""
    _check_proc()
    # Before anything that takes long: a number may be another process's by the time that we attach to it.
    named = {pid: _birth(pid) for pid in pids}
    with Keeper() as keeper:
        _check_machine()
        from ebpfless_arch.agent import config

        settings = config.load(config_file, flags)
        for key in ("trace.uid", "trace.gid", "trace.wait_all"):
            if flags.get(key) is not None and flags[key] is not False:
                raise UsageError("%s is for a COMMAND, and --pid is for programs that run already"
                                 % settings.values[key].origin)
        if settings.enabled:
            return _attach(keeper, named, followed, settings)
    _tell_why_not(settings)
    return 0


def _tell_why_not(settings: "Config") -> None:
    """Nothing is traced: by which setting."""
    from ebpfless_arch.agent import evaluation

    key = next(key for key in SWITCHES if not settings[key])
    evaluation.voice_of(settings, "trace").complain("nothing is traced: %s is false (%s)" % (key, settings.values[key].origin))


def _check_machine() -> None:
    from ebpfless_arch.abi import MACHINES

    if os.uname().machine not in MACHINES:
        raise UsageError("this machine (%s) is not supported; supported are: %s"
                         % (os.uname().machine, ", ".join(sorted(MACHINES))))


def _check_proc() -> None:
    """The view of processes must be our own: all paths and identities come from there."""
    try:
        shown = os.readlink("/proc/self")
    except OSError:
        raise UsageError("/proc is not mounted here, and nothing can be seen without it: mount -t proc proc /proc")
    if shown != str(os.getpid()):
        raise UsageError("/proc shows another pid namespace (we are %d there, %d here): mount -t proc proc /proc"
                         % (int(shown), os.getpid()))


def _run(keeper: Keeper, command: List[bytes], settings: "Config") -> int:
    from ebpfless_arch.agent import evaluation

    agent, interest = evaluation.prepare(settings, os.getppid())
    receiver, interest = _receiver(agent, interest, settings, command, [])
    receiver = _with_system(receiver, agent, settings, _SYSTEM_DELAY_SECONDS)
    plan = _plan(command, interest, settings)
    outcome = keeper.launch(plan, receiver, settings["trace.wait_all"])
    agent.conclude(outcome.problem, outcome.stops if settings["trace.verbose"] else None)
    return die_like(outcome.status) if outcome.status >= 0 else FAILED


def _birth(pid: int) -> int:
    """When a process began, in clock ticks since boot, 0 where there is none."""
    try:
        return procfs.stat(pid).start
    except OSError:
        return 0


def _attach(keeper: Keeper, named: Dict[int, int], followed: List[str], settings: "Config") -> int:
    from ebpfless_arch.agent import evaluation
    from ebpfless_arch.agent.following import Following

    agent, interest = evaluation.prepare(settings)
    receiver, interest = _receiver(agent, interest, settings, [], list(named) or [os.getpid()])
    following = Following(followed, agent, keeper.take) if followed else None
    receiver = _with_system(receiver, agent, settings, 0, following)
    plan = _plan([], interest, settings)._replace(pids=list(named), births=list(named.values()),
                                                      level=settings["trace.attach_level"], follows=bool(followed))
    outcome = keeper.attach(plan, receiver)
    agent.conclude(outcome.problem, outcome.stops if settings["trace.verbose"] else None)
    return 0 if outcome.status >= 0 else _NOTHING_ATTACHED


def _receiver(agent: "Agent", interest: Interest, settings: "Config", command: List[bytes],
              pids: List[int]) -> Tuple[Receiver, Interest]:
    """The agent, or whoever forwards to a probe for it, and what the tracer has to stop for."""
    from ebpfless_arch.agent import linking, surroundings

    around = surroundings.Surroundings(settings)
    agent.describe(around.tags)
    agent.source.processes.live_in(around.container)
    if settings["runtime_security_config.ebpfless.socket"] == "none":
        around.ask(lambda: agent.describe(around.tags))
        _tell_of_idle_flags(agent, settings)
        return agent, interest
    return linking.link(agent, interest, settings, around, command, pids)


def _tell_of_idle_flags(agent: "Agent", settings: "Config") -> None:
    """A file that an option names is not even looked at; what stands in a configuration for all may well be for others."""
    flags = [value.origin for value in map(settings.values.__getitem__, _OF_A_LINK) if value.origin.startswith("--")]
    if flags:
        agent.notice("%s: without effect, for no probe is looked for (none, by %s)"
                     % (", ".join(flags), settings.values["runtime_security_config.ebpfless.socket"].origin))


def _with_system(receiver: Receiver, agent: "Agent", settings: "Config", delay: float,
                 following: "Optional[Following]" = None) -> Receiver:
    """The receiver, with a view of the whole system beside it. Where that is not wanted, it is there only for what is to be
    followed and for files that are watched."""
    tells = not settings["trace.disable_proc_scan"]
    if not tells and following is None and not settings["trace.watch"]:
        return receiver
    from ebpfless_arch.agent.whole_system import WholeSystem, watched_paths

    return WholeSystem(receiver, agent, settings["trace.proc_scan_rate"], not settings["trace.disable_stats"], delay,
                       settings["trace.verbose"], following, watched_paths(settings["trace.watch"]), tells)


def _plan(command: List[bytes], interest: Interest, settings: "Config") -> Plan:
    return Plan(command, packed(interest), not settings["trace.disable_seccomp"], not settings["trace.disable_stats"],
                settings["trace.uid"], settings["trace.gid"], os.getpid(), settings["trace.on_failure"] == "kill",
                io_uring=settings["trace.io_uring"], colocate=settings["trace.colocate"])

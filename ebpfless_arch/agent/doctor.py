"""`ebpfless doctor`: tries what this host allows, says what follows from it, and how each lack is mended."""

import importlib.util
import os
import sys
from typing import Callable, Iterator, Tuple

from ebpfless_arch import __version__
from ebpfless_arch.abi import MACHINES
from ebpfless_arch.kernel import features, walls
from ebpfless_arch.kernel.features import NO_PTRACE, Features
from ebpfless_arch.kernel.walls import Walls
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import standby
from ebpfless_arch.tracer import modes

OK, LIMITED, MISSING = "ok", "limited", "missing"

_TRIALS = 5

# Exit statuses, by the worst that was found.
STATUS = {OK: 0, LIMITED: 1, MISSING: 2}


class Facts(NamedTuple):
    """All that was tried. `strangers`: why processes that are no descendants cannot be traced, "" when they can; `gaps`: how
    long, in ms, a thread had no tracer when that one was killed, several times over (-1: nobody could stand by)."""

    machine: str
    features: Features
    walls: Walls
    strangers: str
    gaps: Tuple[float, ...] = (0.0,)


class Finding(NamedTuple):
    """One line: what was looked at, how it is, what that means, and how to mend it ("" where it needs no mending)."""

    name: str
    state: str
    text: str
    mend: str = ""


def facts() -> Facts:
    """Try everything; takes some milliseconds and leaves nothing behind. Raises OSError where /proc is not ours."""
    machine = os.uname().machine
    abis = MACHINES.get(machine)
    found = features.probe(abis[0]) if abis else NO_PTRACE._replace(problem="this machine is not supported")
    gaps = tuple(standby.measure() for _ in range(_TRIALS)) if found.filters else (-1.0,)
    return Facts(machine, found, walls.look(), walls.can_seize_strangers(), gaps)


# --- what is looked at ------------------------------------------------------------------

def _check_machine(found: Facts) -> Finding:
    abis = MACHINES.get(found.machine, ())
    if not abis:
        return Finding("machine", MISSING, found.machine + " is not supported",
                       "use one of: " + ", ".join(sorted(MACHINES)))
    return Finding("machine", OK, "%s, programs of: %s" % (found.machine, ", ".join(abi.name for abi in abis)))


def _check_children(found: Facts) -> Finding:
    if found.features.ptrace:
        return Finding("wrap mode", OK, "a command and all that it starts can be traced")
    return Finding("wrap mode", MISSING, "ptrace is refused: " + found.features.problem, _mend_ptrace(found.walls))


def _mend_ptrace(around: Walls) -> str:
    if around.yama == 3:
        return "kernel.yama.ptrace_scope is 3, which only a reboot changes: set it to 1 in /etc/sysctl.d and reboot"
    if around.apparmor:
        return "AppArmor profile %s is on us: docker run --security-opt apparmor=unconfined" % around.apparmor
    if around.seccomp:
        return ("a seccomp profile is on us: docker run --cap-add SYS_PTRACE, or --security-opt seccomp=unconfined; "
                "ECS: linuxParameters.capabilities.add SYS_PTRACE; Kubernetes: securityContext.capabilities.add SYS_PTRACE")
    return "run as root, or give CAP_SYS_PTRACE"


def _check_filter(found: Facts) -> Finding:
    if found.features.filters:
        return Finding("filter", OK, "a seccomp filter chooses the calls that stop: the rest run at full speed")
    return Finding("filter", LIMITED, "no seccomp filter can be used here, every call stops: slow",
                   "use a kernel with seccomp filters (3.5 or newer; many vendors' older ones have them)")


def _check_privileges(found: Facts) -> Finding:
    name = "setuid programs"
    if found.walls.no_new_privs:
        return Finding(name, LIMITED, "run without their privileges, traced or not: NO_NEW_PRIVS is set on us",
                       "Kubernetes: allowPrivilegeEscalation: true; systemd: NoNewPrivileges=no")
    if found.features.filters_need_no_new_privs:
        return Finding(name, LIMITED, "run without their privileges below trace: its filter needs NO_NEW_PRIVS here",
                       "run as root with CAP_SYS_ADMIN, or use --disable-seccomp with CAP_SYS_PTRACE")
    if "CAP_SYS_PTRACE" not in found.walls.capabilities:
        return Finding(name, LIMITED, "run without their privileges below trace: we lack CAP_SYS_PTRACE",
                       "run as root, docker run --cap-add SYS_PTRACE")
    return Finding(name, OK, "keep their privileges below trace")


def _check_gaps(found: Facts) -> Finding:
    name = "killed tracer"
    if not found.features.filters:
        return Finding(name, OK, "costs events only: without a filter no call needs a tracer")
    gaps = sorted(found.gaps)
    if found.strangers:
        # The stand-by is no ancestor of those whom it would have to take over.
        return Finding(name, LIMITED, "cannot be replaced, and the filtered calls of its programs fail from then on: "
                       + found.strangers, "give CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE), or set "
                       "kernel.yama.ptrace_scope to 0")
    if gaps[0] >= 0:
        return Finding(name, OK, "is replaced by one that stands by: a thread has none for %.3f ms (median of %d, worst %.3f)"
                       % (gaps[len(gaps) // 2], len(gaps), gaps[-1]))
    return Finding(name, LIMITED, "nobody can stand by for the tracer: when it is killed, calls fail for some milliseconds, or "
                   "for good", "give CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE), or set kernel.yama.ptrace_scope to 0")


def _check_strangers(found: Facts) -> Finding:
    if not found.strangers:
        return Finding("other processes", OK, "processes of this user that we did not start can be traced")
    mend = "give CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)"
    if found.walls.yama >= 2:
        mend += "; kernel.yama.ptrace_scope is %d" % found.walls.yama
    elif found.walls.yama == 1:
        mend += ", or sysctl kernel.yama.ptrace_scope=0"
    return Finding("other processes", LIMITED, "only what trace has started can be traced: " + found.strangers, mend)


def _check_users(found: Facts) -> Finding:
    if "CAP_SYS_PTRACE" in found.walls.capabilities and not found.walls.mapped:
        return Finding("other users", OK, "processes of all users can be traced")
    why = "we are in a user namespace of our own" if found.walls.mapped else "we lack CAP_SYS_PTRACE"
    return Finding("other users", LIMITED, "processes of other users cannot be traced: " + why, "run as root on the host")


def _check_memory(found: Facts) -> Finding:
    if found.features.vm_read or not found.features.ptrace:
        return Finding("arguments", OK, "are read by process_vm_readv")
    return Finding("arguments", LIMITED, "are read through /proc/PID/mem: a bit slower",
                   "a seccomp profile forbids process_vm_readv; a newer container runtime allows it")


def _check_registers(found: Facts) -> Finding:
    if found.features.syscall_info:
        return Finding("calls", OK, "are told by PTRACE_GET_SYSCALL_INFO")
    return Finding("calls", OK, "are read from registers (PTRACE_GET_SYSCALL_INFO came with 5.3)")


def _check_order(found: Facts) -> Finding:
    old = found.features.entry_after_seccomp
    return Finding("order of stops", OK, "filter first, then the call's entry (before 4.8)" if old
                   else "the call's entry, then its filter (4.8 and later)")


def _check_engine(found: Facts) -> Finding:
    ways = modes.mode(found.features)
    return Finding("engine", OK, ", ".join("%s %s" % (part, way) for part, way in ways.items()) or "cannot run")


def _check_sight(found: Facts) -> Finding:
    if found.walls.hidden:
        return Finding("/proc", LIMITED, "hides processes of other users",
                       "mount -o remount,hidepid=0 /proc, or run as root")
    return Finding("/proc", OK, "shows all processes of this pid namespace")


def _check_python(found: Facts) -> Finding:
    yaml = importlib.util.find_spec("yaml") is not None
    policies = "JSON and YAML" if yaml else "JSON only (PyYAML is not installed)"
    return Finding("python", OK, "%s; policies: %s" % (sys.version.split()[0], policies))


_CHECKS: Tuple[Callable[[Facts], Finding], ...] = (
    _check_machine, _check_python, _check_sight, _check_children, _check_filter, _check_order, _check_registers, _check_engine,
    _check_memory, _check_gaps, _check_privileges, _check_strangers, _check_users,
)


def findings(found: Facts) -> Tuple[Finding, ...]:
    """Everything that is to be said of a host."""
    return tuple(check(found) for check in _CHECKS)


def worst(said: Tuple[Finding, ...]) -> str:
    """OK, LIMITED or MISSING."""
    return max((finding.state for finding in said), key=lambda state: STATUS[state])


def lines(found: Facts) -> Iterator[str]:
    """The report."""
    system = os.uname()
    yield "ebpfless %s on %s %s" % (__version__, system.sysname, system.release)
    said = findings(found)
    for finding in said:
        yield "  %-8s %-16s %s" % (finding.state, finding.name, finding.text)
        if finding.mend:
            yield "  %-8s %-16s mend: %s" % ("", "", finding.mend)
    yield {OK: "Everything works here.", LIMITED: "Wrap mode works here, with the limits above.",
           MISSING: "ebpfless cannot trace here: see above."}[worst(said)]


def diagnose() -> int:
    """Print the report; returns the exit status."""
    try:
        found = facts()
    except (OSError, KeyError):
        print("  missing  /proc            is not mounted, and nothing can be seen without it\n"
              "                            mend: mount -t proc proc /proc")
        return STATUS[MISSING]
    print("\n".join(lines(found)))
    return STATUS[worst(findings(found))]


def version() -> object:
    """What `ebpfless version --json` tells: versions, and the features that the engine goes by."""
    system = os.uname()
    abis = MACHINES.get(system.machine, ())
    try:
        told = dict(features.probe(abis[0])._asdict()) if abis else {}
    except OSError:
        told = {}
    return {"version": __version__, "python": sys.version.split()[0], "kernel": system.release,
            "machine": system.machine, "abis": [abi.name for abi in abis], "features": told,
            "engine": modes.mode(Features(**told)) if told else {}}

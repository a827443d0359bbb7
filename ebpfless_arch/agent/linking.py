"""Joins the agent of `ebpfless trace` to a probe."""

import os
import time
from typing import TYPE_CHECKING, List, Tuple

from ebpfless_arch.agent.client import Client
from ebpfless_arch.agent.config import Config
from ebpfless_arch.agent.endpoints import endpoint_of
from ebpfless_arch.agent.evaluation import Agent
from ebpfless_arch.agent.forwarding import Forwarder
from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.agent.secrets import read_secret
from ebpfless_arch.agent.spool import Spool
from ebpfless_arch.agent.surroundings import Surroundings
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.records import decoded
from ebpfless_arch.events.roll import Roll, outer_records
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import procfs

if TYPE_CHECKING:
    from ebpfless_arch.events.wire import Hello

_WATCH = "runtime_security_config.ebpfless."


def link(agent: Agent, interest: Interest, config: Config, around: Surroundings, command: List[bytes],
         pids: List[int]) -> Tuple[Forwarder, Interest]:
    """A receiver for the keeper that looks for the probe, and what the tracer has to stop for: what our rules need and,
    if the probe answers within `trace.wait_probe`, its own. With `pids`, no command is started, but these are attached
    to. Raises UsageError."""
    secret = read_secret(config[_WATCH + "secret_file"])
    outer = outer_records(*map(parent_of, pids)) if pids else outer_records(os.getppid())
    forwarder = Forwarder(agent, _spool(config), Roll(outer), Users(), around, config["trace.verbose"])
    told = (procfs.pid_namespace(), around.container, int(time.time() * 1e9),
            None if pids else tuple(map(decoded, command)), "attached" if pids else "wrapped")

    def hello() -> "Hello":
        from ebpfless_arch.events.wire import Hello  # as for all of the wire, see client.py

        return Hello(*told)

    forwarder.start(Client(endpoint_of(config[_WATCH + "socket"]), hello, secret, forwarder))
    wanted = forwarder.wait(config["trace.wait_probe"]) if config["trace.wait_probe"] else None
    # A probe that answers later has rules of its own.
    seen = _joined(interest, wanted) if wanted is not None else interest._replace(cases={})
    forwarder.begin(seen)
    return forwarder, seen


def parent_of(pid: int) -> int:
    """The number of a process's parent, 0 where it has none or is none."""
    try:
        return procfs.stat(pid).ppid
    except OSError:
        return 0


def _joined(mine: Interest, its: Interest) -> Interest:
    """Both interests: the probe's, and ours for when it is away. What it asks for is sent whole."""
    return Interest(mine.events | its.events, mine.failures or its.failures, dict(mine.denied, **its.denied),
                    cases={event: cases for event, cases in mine.cases.items() if event not in its.events})


def _spool(config: Config) -> Spool:
    path = config["trace.spool_file"] or ""
    try:
        return Spool(config["trace.spool"], path, config["trace.spool_file_size"])
    except OSError as error:
        raise UsageError("--spool-file %s: %s" % (path, error.strerror))


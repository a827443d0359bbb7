"""`ebpfless probe`: the server that tracers connect to, with one rule engine for all of them.

One thread serves all connections in turn, 64 KiB at a time: rules have state, so they are evaluated one after the
other anyway, and a tracer that is idle costs a descriptor and some kilobytes.
"""

import gc
import os
import resource
import selectors
import signal
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from ebpfless_arch.agent import config, endpoints, evaluation
from ebpfless_arch.agent.config import Config
from ebpfless_arch.agent.doors import Door, given_doors, open_doors
from ebpfless_arch.agent.endpoints import Place, endpoint_of, look_up
from ebpfless_arch.agent.evaluation import Agent, own_source
from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.agent.outputs import Voice
from ebpfless_arch.agent.peers import Host, Peer
from ebpfless_arch.agent.reloading import Policies
from ebpfless_arch.agent.report import Report
from ebpfless_arch.agent.secrets import read_secret
from ebpfless_arch.agent.sessions import Session, Sessions
from ebpfless_arch.agent.settings import KINDS
from ebpfless_arch.agent.stream import Stream, make_buffer
from ebpfless_arch.agent.supervision import PidFile, Supervisor
from ebpfless_arch.events import wire
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import libc, process, procfs

if TYPE_CHECKING:
    from ebpfless_arch.agent.metrics import Pages
    from ebpfless_arch.agent.whole_system import Outlook

_WATCH = "runtime_security_config.ebpfless."
_TURN_SECONDS = 1.0
_HELD_UP_SECONDS = 0.05
_HELD_AT_MOST_SECONDS = 5.0
_VIEW_SECONDS = 5.0
_STUCK_SECONDS = 10.0
_SAVING_SECONDS = 5.0
_COMPLAINTS_AT_MOST = 20
_COMPLAINTS_SECONDS = 10
_DRAIN_SECONDS = 3.0
_AHEAD_SECONDS = 10.0
_FEW_PROCESSES = 256
# Who has not said who it is can be replaced by somebody new.
_STRANGERS_AT_MOST = 256
_SPARE_DESCRIPTORS = 64
# Beyond that a tracer that has no heart-beat may be left for others.
_SILENT_SECONDS = 5.0
_NAMED_AT_MOST = 10

# What an error of ours in judging one record may be: it costs that record, and nobody else notices.
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, OSError)


def run(config_file: str, flags: Mapping[str, Any]) -> int:
    """Serve until a signal ends it; returns the exit status. Raises UsageError and OSError before that."""
    process.shut()
    settings = config.load(config_file, flags)
    voice = evaluation.voice_of(settings, "probe")
    policies = evaluation.load_rules(settings["runtime_security_config.policies.dir"], voice)
    agent = evaluation.make_agent(policies, settings, "probe", voice, own_source(Processes(Users())))
    with Probe(settings, policies, agent, voice) as probe, PidFile(settings["probe.pid_file"] or ""):
        probe.serve()
    return 0


class Probe(Host):
    """The server. It listens as soon as it is made; raises UsageError and OSError."""

    def __init__(self, settings: Config, policies: Policies, agent: Agent, voice: Voice) -> None:
        self._settings = settings
        self._policies = policies
        self._agent = agent
        self._voice = voice
        self._verbose = settings["probe.verbose"]
        self._secret = read_secret(settings[_WATCH + "secret_file"])
        self._selector = selectors.DefaultSelector()
        self._peers: Dict[int, Peer] = {}
        self._strangers: "Dict[int, Peer]" = {}
        self._buffer = make_buffer()
        self._sessions = Sessions()
        self._complaints = Complaints(voice)
        self._namespace = procfs.pid_namespace()
        self._looked = 0.0
        self._saved = 0.0
        self._held_since = 0.0
        self._supervisor = Supervisor()
        self._report = Report(agent, self._sessions)
        self._signals: List[int] = []
        self._left_out: List[str] = []
        self._use_rules()
        self._stopping = False
        self._room = _raise_descriptor_limit() - _SPARE_DESCRIPTORS
        self._guests = endpoints.trusted_uids() + _ids(settings["probe.peers"])
        self._wake = self._catch_signals()
        given = given_doors(self._visit)
        self._doors = list(given)
        for text in [] if given else self._addresses():
            self._doors += open_doors(endpoint_of(text), self._visit)
        self._where = ", ".join([door.name for door in self._doors] if given else self._addresses())
        for door in self._doors:
            self._selector.register(door, selectors.EVENT_READ, door)
        self._check_secrecy()
        self._pages = self._serve_pages(settings["probe.http"])
        self._outlook = self._look_out() if settings["probe.system"] or settings["probe.watch"] else None

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *problem: object) -> None:
        for door in self._doors:
            door.close()
        if self._pages is not None:
            self._pages.close()
        if self._outlook is not None:
            self._outlook.close()
        self._agent.close()
        if self._sessions.missing:
            self._voice.complain("%d records were lost before tracers could send them, as those say" % self._sessions.missing, "warning")

    def _look_out(self) -> "Outlook":
        from ebpfless_arch.agent.whole_system import Outlook, watched_paths

        return Outlook(self._agent, self._settings["probe.scan_rate"], watched_paths(self._settings["probe.watch"]),
                       self._selector)

    def _addresses(self) -> List[str]:
        found = self._settings["probe.listen"] or [self._settings[_WATCH + "socket"]]
        for text in found:
            _check_address(text)
        return list(found)

    def _serve_pages(self, address: str) -> "Optional[Pages]":
        if address == "none":
            return None
        endpoint = endpoint_of(address)
        try:
            if endpoint.path:
                raise UsageError("--http %s: HOST:PORT is needed" % address)
            from ebpfless_arch.agent.metrics import Pages

            return Pages(look_up(endpoint)[0], lambda: self._report.page,
                         lambda: time.monotonic() < self._looked + _STUCK_SECONDS)
        except OSError as error:
            raise OSError("cannot listen on %s for --http: %s" % (address, error.strerror or error))

    def _check_secrecy(self) -> None:
        """Whoever can connect can make us believe anything, so other hosts need the secret."""
        outside = [door.place for door in self._doors if not door.place.is_local]
        if not outside or self._secret:
            return
        address = endpoints.name_of(outside[0].family, outside[0].address)
        if not self._settings["probe.insecure"]:
            raise UsageError("other hosts can reach %s: name a --secret-file, which their tracers have as well, or say "
                             "--insecure" % address)
        self._voice.complain("warning: anybody who reaches %s is believed, for there is no --secret-file" % address, "warning")

    def _catch_signals(self) -> int:
        """Signals only wake the loop, which then looks what has come."""
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(ends[1])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._signals.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # one that has come while we were loading comes now
        self._selector.register(ends[0], selectors.EVENT_READ, None)
        return ends[0]

    # --- the loop --------------------------------------------------------------------

    def serve(self) -> None:
        """Until a signal says that it is enough."""
        if self._outlook is not None:
            self._outlook.await_view(_VIEW_SECONDS)
        self._voice.complain("the probe listens on %s with %d rules" % (self._where, len(self._policies.rules.rules)))
        self._warn_of_silence()
        self._supervisor.tell("READY=1", "STATUS=listening on %s" % self._where)
        _settle_in()
        pause = min(_TURN_SECONDS, self._supervisor.pause or _TURN_SECONDS)
        while not self._stopping:
            self._turn(_HELD_UP_SECONDS if self._held_since else pause)
            self._supervisor.live()
            self._on_signals()
        self._supervisor.tell("STOPPING=1")
        self._drain()

    def _turn(self, seconds: float) -> bool:
        """Serve whoever has something, once; whether anybody had."""
        found = False
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Peer):
                found = self._serve(key.data) or found
            elif key.data is not None:
                key.data.accept()
            else:
                os.read(self._wake, 4096)
        if self._outlook is not None:
            self._outlook.turn()
        self._settle()
        now = time.monotonic()
        if now > self._looked + _TURN_SECONDS:
            self._look_after_all(now)
        return found

    def _look_after_all(self, now: float) -> None:
        self._looked = now
        self._sessions.forget()
        for peer in list(self._peers.values()):
            self._attempt(peer, lambda: peer.watch(now))
            self._write(peer)
        if procfs.resident_bytes() > self._settings["probe.memory"]:
            self._save_memory(now)
        if self._pages is not None:
            self._report.make(len(self._strangers), self._complaints.left)

    def _serve(self, peer: Peer) -> bool:
        return self._attempt(peer, peer.read)

    def _save_memory(self, now: float) -> None:
        """One tracer that tells of processes without end must not bring down the probe. What was freed is not seen at
        once, so this is done every few seconds at most; and a tracer with few processes pays for nobody else."""
        for peer in [peer for peer in self._peers.values() if peer.stalls(now)]:
            self._leave(peer, "the probe is short of memory, and waits for the rest of a message")
        largest = self._sessions.shrink()
        libc.give_back()
        if now < self._saved + _SAVING_SECONDS or largest is None or len(largest.source.processes) < _FEW_PROCESSES:
            return
        self._saved = now
        for peer in list(self._peers.values()):
            if peer.session is largest:
                self._leave(peer, "the probe needs more than %d MiB of memory, and this tracer has the most processes"
                            % (self._settings["probe.memory"] >> 20))
        self._sessions.shrink()

    def _settle(self) -> None:
        """What the outputs have taken can be acknowledged."""
        now = time.monotonic()
        self._held_since = (self._held_since or now) if self._agent.idle() else 0.0
        # A reader that hangs for good must not hold up the tracers as well: beyond that its lines are dropped.
        is_safe = not self._held_since or now > self._held_since + _HELD_AT_MOST_SECONDS
        for peer in list(self._peers.values()):
            if is_safe:
                peer.acknowledge()
            self._write(peer)
            if peer.is_done and peer.fileno() in self._peers:
                self._leave(peer, "")

    def _write(self, peer: Peer) -> None:
        if peer.fileno() in self._peers:
            self._attempt(peer, peer.write)
        if peer.fileno() in self._peers:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.stream.waiting else 0)
            if self._selector.get_key(peer.stream).events != events:
                self._selector.modify(peer.stream, events, peer)

    def _attempt(self, peer: Peer, work: Any) -> bool:
        """Do something with a peer, which is left if that fails: no other one notices."""
        try:
            return bool(work())
        except WireError as error:
            self._leave(peer, str(error))
        except (EOFError, OSError):
            self._leave(peer, "")
        return False

    def _drain(self) -> None:
        """Let nobody in, deal with what has arrived, and go."""
        for door in self._doors:
            self._selector.unregister(door)
            door.close()
        end = time.monotonic() + _DRAIN_SECONDS
        while self._turn(0) and time.monotonic() < end:
            pass
        for peer in list(self._peers.values()):
            self._write(peer)
            self._leave(peer, "")

    # --- who comes and goes ----------------------------------------------------------

    def _visit(self, connection: socket.socket, address: Any, place: Place) -> None:
        """Somebody has connected."""
        if place.family == socket.AF_UNIX:
            guest = endpoints.peer_of(connection)
            if guest.uid not in self._guests:
                self._complaints.tell("user %d (process %d) is left: it may not use %s, --peers says who may"
                          % (guest.uid, guest.pid, place.address))
                connection.close()
                return
        if len(self._strangers) >= _STRANGERS_AT_MOST or len(self._peers) >= self._room:
            if not self._make_room():
                self._complaints.tell("no room for %s: %d tracers are here" % (endpoints.name_of(place.family, address), len(self._peers)))
                connection.close()
                return
        peer = Peer(self, Stream(connection, buffer=self._buffer), endpoints.name_of(place.family, address),
                    place.is_local and Place(place.family, address).is_local, self._secret)
        self._peers[peer.fileno()] = self._strangers[peer.fileno()] = peer
        self._selector.register(peer.stream, selectors.EVENT_READ, peer)

    def _make_room(self) -> bool:
        """Leave somebody for others: who has not greeted, else who may be silent and has been so for longest."""
        if self._strangers:
            self._leave(next(iter(self._strangers.values())), "it had not greeted when others came")
            return True
        silent = min((peer for peer in self._peers.values() if peer.is_plain), key=lambda peer: peer.heard, default=None)
        now = time.monotonic()
        if silent is None or now < silent.heard + _SILENT_SECONDS:
            return False
        self._leave(silent, "it had been silent for %d s when others came" % (now - silent.heard))
        return True

    def _leave(self, peer: Peer, reason: str) -> None:
        number = peer.fileno()
        if self._peers.pop(number, None) is None:
            return
        self._strangers.pop(number, None)
        if reason:
            self._complaints.tell("%s is left: %s" % (peer.where, reason))
            try:
                peer.refuse(reason)
            except OSError:
                pass
        self._selector.unregister(peer.stream)
        peer.stream.close()
        if peer.session is not None:
            peer.session.order = None
            self._sessions.leave(peer.session, peer.is_done)
            if self._verbose:
                self.tell("%s has gone" % peer.session.name)

    def tell(self, text: str) -> None:
        """A line on stderr."""
        self._voice.complain(text)

    # --- what peers ask for ----------------------------------------------------------

    def greet(self, peer: Peer, hello: wire.Hello) -> Session:
        """Find the tracer's session, or begin one; an older connection of the same run is stale."""
        self._strangers.pop(peer.fileno(), None)
        session = self._sessions.take_up(hello, not (peer.is_local and hello.namespace == self._namespace))
        for other in list(self._peers.values()):
            if other.session is session:
                other.session = None
                self._leave(other, "its tracer has connected anew")
        session.attach()
        peer.session = session
        if hello.offer is not None:
            peer.accept(self._interest())
        if self._verbose:
            self.tell("%s has come from %s" % (session.name, peer.where))
        return session

    def _interest(self) -> Dict[str, Any]:
        return wire.plain_interest(evaluation.interest_of(self._policies.rules, self._settings["probe.events"]))

    def judge(self, session: Session, record: Record, number: int) -> None:
        """Evaluate the rules for one record."""
        self._agent.source = session.source
        now = time.time()
        self._report.delays.note(now - record[1] / 1e9)
        try:
            self._agent.receive(_not_from_the_future(record, now), number)
        except _FAULTS:
            self._agent.failed(traceback.format_exc())

    def learn(self, session: Session, record: Record) -> None:
        """Take one record of a process that runs already."""
        self._agent.source = session.source
        self._agent.learn(_not_from_the_future(record, time.time()))

    def miss(self, records: int) -> None:
        """So many records were lost before they could be sent."""
        self._sessions.missing += records

    def refusal(self, session: Session, record: Record) -> int:
        """The errno with which a call shall fail, 0 to let it run."""
        self._agent.source = session.source
        try:
            return self._agent.refusal(_not_from_the_future(record, time.time()))
        except _FAULTS:
            self._agent.failed(traceback.format_exc())
            return 0

    # --- signals ---------------------------------------------------------------------

    def _on_signals(self) -> None:
        while self._signals:
            if self._signals.pop(0) == signal.SIGHUP:
                self._reload()
            else:
                self._stopping = True

    def _use_rules(self) -> None:
        sightless, self._left_out = self._policies.sightless()
        self._agent.use(self._policies.rules, sightless)

    def warn_of_blindness(self) -> None:
        """A tracer does not look at files: which rules that costs is told once."""
        names, self._left_out = self._left_out, []
        if names:
            shown = ", ".join(names[:_NAMED_AT_MOST]) + (", ..." if len(names) > _NAMED_AT_MOST else "")
            self._voice.complain("for tracers with --disable-stats, which look at no files, rules that need that do not run: "
                                 "%d of them: %s" % (len(names), shown), "warning")

    def _warn_of_silence(self) -> None:
        if not self._policies.rules.rules:
            self._voice.complain("warning: no rule is active, so nothing is detected", "warning")

    def _reload(self) -> None:
        reload = self._policies.reload()
        self._voice.complain(reload.line)
        for problem in reload.problems:
            self._voice.complain(str(problem), "error")
        if reload.taken:
            self._warn_of_silence()
            self._use_rules()
            for peer in self._peers.values():
                peer.want(self._interest())


def _not_from_the_future(record: Record, now: float) -> Record:
    """A record whose clock runs ahead gets our time: what rules remember of others would be taken for outdated."""
    if record[1] < (now + _AHEAD_SECONDS) * 1e9:
        return record
    changed: Record = record[:1] + (int(now * 1e9),) + record[2:]
    return changed


def _settle_in() -> None:
    """What has been loaded by now stays for ever: the collector need not look at it again and again (Python 3.7), and so
    finds sooner what tracers leave behind."""
    gc.collect()
    freeze = getattr(gc, "freeze", None)
    if freeze is not None:
        freeze()


class Complaints:
    """Lines about those who were left: a flood of them must not become a flood of lines."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.left = 0
        self._told = 0
        self._until = 0.0

    def tell(self, text: str) -> None:
        """Say it, or count it for the next line."""
        now = time.monotonic()
        self.left += 1
        if now > self._until:
            if self._told > _COMPLAINTS_AT_MOST:
                self._voice.complain("%d more were left in the last %d s"
                                     % (self._told - _COMPLAINTS_AT_MOST, _COMPLAINTS_SECONDS), "warning")
            self._told, self._until = 0, now + _COMPLAINTS_SECONDS
        self._told += 1
        if self._told <= _COMPLAINTS_AT_MOST:
            self._voice.complain(text, "warning")


def _ids(words: List[str]) -> Tuple[int, ...]:
    found = [word.strip() for words_of_one in words for word in words_of_one.split(",")]
    for word in found:
        if not word.isdigit():
            raise UsageError("--peers %s: numeric user ids are needed; `id -u NAME` prints one" % word)
    return tuple(map(int, found))


def _check_address(text: str) -> None:
    try:
        endpoint = KINDS["address"].read(text)
    except (ValueError, KeyError):
        endpoint = "none"
    if endpoint == "none":
        raise UsageError("'%s' is no address to listen on: say HOST:PORT, [IPV6]:PORT or unix:/PATH" % text)


def _raise_descriptor_limit() -> int:
    """Take as many descriptors as we may have; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > 65536:
        hard = max(soft, 65536)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    except (OSError, ValueError):
        return soft
    return hard

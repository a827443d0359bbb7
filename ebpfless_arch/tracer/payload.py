"""Events that are made of what calls carry: questions of DNS, requests to metadata services, addresses of messages, and
words written into files that steer the kernel.

A payload is looked at only if its descriptor is known to matter. What is known is kept by process, under the
descriptor's link in /proc/PID/fd (a socket's inode, a file's path), which is read again at each use: so it does not
matter that duplicates and closed descriptors are not traced. A process with no such descriptor goes on at once.
"""

import errno
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from ebpfless_arch.events import dns, imds, records
from ebpfless_arch.events.interest import Interest, counts
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import procfs, sockets
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import control, decode, messages, readers, syscalls
from ebpfless_arch.tracer.control import Control
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import Row

_DNS_PORT = 53
# AWS, Azure, Oracle, IBM, GCP; AWS and GCP by IPv6 (fd00:ec2::254, fd20:ce::254).
_METADATA_SERVICES = frozenset(bytes.fromhex(text) for text in (
    "a9fea9fe", "fd000ec2000000000000000000000254", "fd2000ce000000000000000000000254"))
_TCP, _UDP = 6, 17
_BYTES_AT_MOST = 8192
_PRUNED_AT = 64
_SCANNED_AT_MOST = 256
_MSG_PEEK = 2
_NO_OFFSET = 0xFFFFFFFFFFFFFFFF
_CONNECTED = (0, -errno.EINPROGRESS)

Values = Dict[str, Any]
Told = List[Tuple[int, str, Values]]


class Peer(NamedTuple):
    """The other end of a socket that carries what `event` is made of."""

    event: str
    ip: bytes
    port: int
    protocol: int


Target = Union[Peer, Control]
Known = Dict[bytes, Target]


class Carried(NamedTuple):
    """A call between its entry and its result. `told` are the events that it makes if it succeeds: the index of their
    message, the event, its values. `target` is what its descriptor, with this `link`, stands for."""

    row: Row
    call: Call
    told: Told
    link: bytes = b""
    target: Optional[Target] = None


class Watch:
    """What is known of the descriptors of all processes, and what their calls therefore tell."""

    def __init__(self, wanted: Interest) -> None:
        self._interest = wanted
        self._known: Dict[int, Known] = {}
        self._begins: Dict[str, Callable[[Stop, Row, Call], Optional[Carried]]] = {
            syscalls.SOCKADDR: self._begin_connect, syscalls.OPENED: self._begin_open}
        self._finishes: Dict[str, Callable[[Stop, Carried, int], Told]] = {
            syscalls.SOCKADDR: self._connected, syscalls.OPENED: self._opened}
        for kind in (syscalls.SENT, syscalls.SENT_VECTOR, syscalls.SENT_MESSAGE, syscalls.SENT_MESSAGES):
            self._begins[kind], self._finishes[kind] = self._begin_sending, self._sent
        for kind in (syscalls.GOT, syscalls.GOT_VECTOR, syscalls.GOT_MESSAGE, syscalls.GOT_MESSAGES):
            self._begins[kind], self._finishes[kind] = self._begin_receiving, self._received

    def forked(self, child: int, parent: int) -> None:
        """A new process has copies of its parent's descriptors."""
        known = self._known.get(parent)
        if known is not None:
            self._known[child] = dict(known)

    def ended(self, pid: int) -> None:
        """A process is no more."""
        self._known.pop(pid, None)

    def begin(self, stop: Stop, row: Row, call: Call) -> Optional[Carried]:
        """Look at a call before it runs; None if it tells nothing, so that its result is not needed."""
        unpacked = decode.unpack(stop, row, call)
        return self._begins[row.kinds[1]](stop, row, unpacked) if unpacked is not None else None

    def forecast(self, stop: Stop, carried: Carried) -> List[Record]:
        """The events that some rule may deny, as if they were refused."""
        return [_record(stop, event, values, -errno.EPERM) for _, event, values in carried.told
                if event in self._interest.denied]

    def finish(self, stop: Stop, carried: Carried, result: int) -> List[Record]:
        """What a call that is over told."""
        told = self._finishes[carried.row.kinds[1]](stop, carried, result)
        return [_record(stop, event, values, result) for _, event, values in told
                if self._interest.failures or counts(event, result)]

    # --- what is known ----------------------------------------------------------

    def _of_process(self, stop: Stop) -> Known:
        known = self._known.get(stop.pid)
        if known is None:
            known = self._known[stop.pid] = self._inherited(stop)
        return known

    def _inherited(self, stop: Stop) -> Known:
        """What a process has that was not traced before."""
        found: Known = {}
        try:
            for number in procfs.descriptors(stop.tid)[:_SCANNED_AT_MOST]:
                link = _link(stop.tid, number)
                target = self._recognize(stop.tid, number, link)
                if target is not None:
                    found[link] = target
        except OSError:
            pass
        return found

    def _recognize(self, tid: int, number: int, link: bytes) -> Optional[Target]:
        if link.startswith(b"/"):
            return control.recognize(tid, number, link, self._interest.events)
        inode = sockets.inode_of(link)
        ends = sockets.ends(tid, inode, ("tcp", "udp")) if inode else None
        return self._peer(tid, number, ends[1].ip, ends[1].port) if ends is not None else None

    def _peer(self, tid: int, number: int, ip: bytes, port: int) -> Optional[Peer]:
        """What is at an address, None for nothing of interest."""
        event = self._service(ip, port)
        return Peer(event, sockets.plain(ip), port, sockets.kind(tid, number).protocol) if event else None

    def _service(self, ip: bytes, port: int) -> str:
        event = "dns" if port == _DNS_PORT else "imds" if sockets.plain(ip) in _METADATA_SERVICES else ""
        return event if event in self._interest.events or event + ".response" in self._interest.events else ""

    def _target(self, stop: Stop, number: int) -> Tuple[bytes, Optional[Target]]:
        """What a descriptor stands for, and its link."""
        known = self._of_process(stop)
        if not known:
            return b"", None
        link = _link(stop.tid, number)
        return link, known.get(link)

    def _note(self, stop: Stop, link: bytes, target: Target) -> None:
        known = self._of_process(stop)
        known[link] = target
        if len(known) % _PRUNED_AT == 0:
            self._prune(stop, known)

    def _prune(self, stop: Stop, known: Known) -> None:
        """Forget what has been closed."""
        try:
            alive = {_link(stop.tid, number) for number in procfs.descriptors(stop.tid)}
        except OSError:
            return
        for link in [link for link in known if link not in alive]:
            del known[link]

    # --- connecting and opening ---------------------------------------------------

    def _begin_connect(self, stop: Stop, row: Row, call: Call) -> Optional[Carried]:
        address: Values = sockets.parse(readers.READERS[syscalls.SOCKADDR](stop, call, call.arguments[1]))
        number = _descriptor(call)
        target: Optional[Target] = None
        if address["ip"]:
            target = self._peer(stop.tid, number, address["ip"], address["port"])
        if target is not None:
            # Whatever becomes of it: a call that a signal interrupts goes on connecting.
            self._note(stop, _link(stop.tid, number), target)
            return None
        link, target = self._target(stop, number)
        return Carried(row, call, [], link, target) if target is not None else None

    def _connected(self, stop: Stop, carried: Carried, result: int) -> Told:
        """A socket of interest is connected elsewhere."""
        if result in _CONNECTED:
            self._of_process(stop).pop(carried.link, None)
        return []

    def _begin_open(self, stop: Stop, row: Row, call: Call) -> Optional[Carried]:
        return Carried(row, call, [])

    def _opened(self, stop: Stop, carried: Carried, result: int) -> Told:
        link = _link(stop.tid, result) if result >= 0 else b""
        target = control.recognize(stop.tid, result, link, self._interest.events) if link else None
        if target is not None:
            self._note(stop, link, target)
        return []

    # --- sending and writing --------------------------------------------------------

    def _begin_sending(self, stop: Stop, row: Row, call: Call) -> Optional[Carried]:
        number = _descriptor(call)
        link, target = self._target(stop, number)
        may_be_addressed = syscalls.SOCKADDR in row.kinds and call.arguments[4] \
            or row.kinds[1] in (syscalls.SENT_MESSAGE, syscalls.SENT_MESSAGES)
        if target is None and not may_be_addressed:
            return None
        payloads = messages.of_call(stop, row, call)
        told: Told = []
        for index, payload in enumerate(payloads):
            if isinstance(target, Control):
                told += self._written(stop, target, number, payload, offset_of(row, call))
            else:
                told += [(index, event, values) for event, values in self._addressed(stop, number, target, payload)]
        return Carried(row, call, told, link, target) if told else None

    def _written(self, stop: Stop, target: Control, number: int, payload: messages.Payload,
                 offset: Optional[int]) -> Told:
        data = messages.gather(stop, payload.pieces, control.WRITTEN_AT_MOST)
        values = control.written(stop, target, number, data, offset)
        return [(0, target.event, values)] if values is not None else []

    def _addressed(self, stop: Stop, number: int, target: Optional[Peer],
                   payload: messages.Payload) -> List[Tuple[str, Values]]:
        """A message by its own address or its socket's: that it was sent, and what it says."""
        told: List[Tuple[str, Values]] = []
        address: Values = sockets.parse(messages.address_of(stop, payload))
        if address["family"] and "send" in self._interest.events:
            values = dict(address, protocol=sockets.kind(stop.tid, number).protocol,
                          size=sum(length for _, length in payload.pieces))
            told.append(("send", values))
        if address["ip"]:
            target = self._peer(stop.tid, number, address["ip"], address["port"])
        if target is not None and target.event in self._interest.events:
            told += _messages_in(stop, target, number, messages.gather(stop, payload.pieces, _BYTES_AT_MOST), True)
        return told

    def _sent(self, stop: Stop, carried: Carried, result: int) -> Told:
        several = carried.row.kinds[1] == syscalls.SENT_MESSAGES
        told = [item for item in carried.told if not several or result < 0 or item[0] < result]
        for _, event, values in told if not isinstance(carried.target, Peer) else ():
            if "peer" in values and event + ".response" in self._interest.events:
                # The answer will come to this socket, which is not connected.
                ip, port = values["peer"]
                self._note(stop, _link(stop.tid, _descriptor(carried.call)), Peer(event, ip, port, values["protocol"]))
        return told

    # --- receiving ------------------------------------------------------------------

    def _begin_receiving(self, stop: Stop, row: Row, call: Call) -> Optional[Carried]:
        link, target = self._target(stop, _descriptor(call))
        if not isinstance(target, Peer) or target.event + ".response" not in self._interest.events:
            return None
        if syscalls.FLAGS in row.kinds and call.arguments[row.kinds.index(syscalls.FLAGS)] & _MSG_PEEK:
            return None
        return Carried(row, call, [], link, target)

    def _received(self, stop: Stop, carried: Carried, result: int) -> Told:
        row, call, _, _, target = carried
        if result <= 0 or not isinstance(target, Peer):
            return []
        told: Told = []
        payloads = messages.of_call(stop, row, call)
        several = row.kinds[1] == syscalls.GOT_MESSAGES
        for payload in payloads[:result] if several else payloads:
            size = payload.received if several else result
            data = messages.gather(stop, payload.pieces, min(size, _BYTES_AT_MOST))
            told += [(0, event, values)
                     for event, values in _messages_in(stop, target, _descriptor(call), data, False)]
        return told


def _record(stop: Stop, event: str, values: Values, retval: int) -> Record:
    return (records.CALL, records.now(), stop.pid, stop.tid, retval, event, values)


def _descriptor(call: Call) -> int:
    number = call.arguments[0] & 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def offset_of(row: Row, call: Call) -> Optional[int]:
    """Where a write goes that says it itself; a 32-bit program does in two words. -1 means the position after all."""
    if not row.call.startswith("pwrite"):
        return None
    abi, first = call.abi, 3
    if abi is not None and abi.even_pairs and row.call == "pwrite64":
        first = 4
    offset = call.arguments[first]
    if abi is not None and abi.pointer_size == 4:
        offset |= call.arguments[first + 1] << 32
    return None if offset == _NO_OFFSET else offset


def _link(tid: int, number: int) -> bytes:
    try:
        return procfs.link(tid, "fd/%d" % number)
    except OSError:
        return b""


def _messages_in(stop: Stop, peer: Peer, number: int, data: bytes, outgoing: bool) -> List[Tuple[str, Values]]:
    """The events that a payload tells, with the ends of its way."""
    if peer.event == "dns":
        parsed: List[Optional[dns.Message]] = [dns.parse(data)]
        if peer.protocol == _TCP:
            parsed = list(dns.parse_stream(data))
        contents: List[Tuple[Any, ...]] = [tuple(message) for message in parsed
                                           if message is not None and message.answer != outgoing]
    else:
        told = imds.parse(data)
        contents = []
        if told is not None and (told.type == imds.REQUEST) == outgoing:
            contents = [tuple(told[:-1]) + (tuple(told.credentials),)]
    if not contents:
        return []
    inode = sockets.socket_inode(stop.tid, number)
    ends = sockets.ends(stop.tid, inode, ("tcp",) if peer.protocol == _TCP else ("udp",))
    own = (sockets.plain(ends[0].ip), ends[0].port) if ends is not None else (b"", 0)
    return [(peer.event, {"message": content, "peer": (peer.ip, peer.port), "own": own, "protocol": peer.protocol,
                          "outgoing": outgoing, "size": len(data)}) for content in contents]

"""What is read out of payloads: messages of DNS and HTTP, well-formed ones, broken ones and random ones."""

import random
import struct
from typing import Any, Dict, List, Optional, Tuple

import pytest

from call_samples import FULL, call_record
from ebpfless_arch.events import dns, imds, json_form, text_form
from ebpfless_arch.events.hostnames import Hostnames
from ebpfless_arch.events.interest import ANSWERS, Interest
from ebpfless_arch.events.model import Event
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.compile import Compiler
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.tracer import syscalls
from network_samples import CREDENTIALS

TABLE = field_table()


def label(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def name(text: str) -> bytes:
    return b"".join(label(word.encode()) for word in text.split(".") if word) + b"\0"


def message(*questions: Tuple[bytes, int, int], flags: int = 0x0100, more: bytes = b"",
            count: Optional[int] = None) -> bytes:
    body = b"".join(text + struct.pack(">HH", kind, question_class) for text, kind, question_class in questions)
    return struct.pack(">6H", 4660, flags, len(questions) if count is None else count, 0, 0, 0) + body + more


# --- DNS -----------------------------------------------------------------------------


def test_a_question_and_its_answer() -> None:
    data = message((name("Mill.example"), 28, 1))
    assert dns.parse(data) == dns.Message(4660, False, "Mill.example", 28, 1, 1, len(data), -1)
    answer = message((name("Mill.example"), 28, 1), flags=0x8183, more=b"\xc0\x0c" + b"\0" * 10)
    assert dns.parse(answer) == dns.Message(4660, True, "Mill.example", 28, 1, 1, len(answer), 3)


@pytest.mark.parametrize("encoded,spelled", [
    (b"\0", ""), (label(b"a") + b"\0", "a"), (label(b"_srv") + label(b"_tcp") + label(b"x-y") + b"\0", "_srv._tcp.x-y"),
    (label(b"a.b") + label(b"c") + b"\0", "a\\046b.c"), (label(b"\x00\x1b[0m\xff") + b"\0", "\\000\\027[0m\\255"),
    (label(b"x" * 63) * 3 + label(b"y" * 61) + b"\0", ".".join(["x" * 63] * 3 + ["y" * 61])),
    (label(b"a") * 127 + b"\0", ".".join("a" * 127)),
])
def test_names(encoded: bytes, spelled: str) -> None:
    found = dns.parse(message((encoded, 1, 1)))
    assert found is not None and found.name == spelled


@pytest.mark.parametrize("data", [
    b"", b"\0" * 11, b"\0" * 12, b"\0" * 17, message(), message((name("a"), 1, 1), count=2),
    message((name("a"), 1, 1), count=17), message((name("a"), 1, 1))[:-1], message((b"", 0, 0)),
    message((label(b"a") * 128 + b"\0", 1, 1)), message((label(b"x" * 63) * 4 + b"\0", 1, 1)),
    message((b"\x40a\0", 1, 1)), message((b"\x80a\0", 1, 1)), message((b"\x3fshort\0", 1, 1)),
    message((b"\xc0\x0c", 1, 1)), message((b"\xc0\x0e", 1, 1)), message((b"\xc0\x00", 1, 1)),
    message((b"\xff\xff", 1, 1)),
    message((b"\1a\xc0\x0c", 1, 1)), message((name("a"), 1, 1), flags=0x2900),
    message((name("a"), 1, 1), (b"\xc0\x13", 1, 1)), message((name("a"), 1, 1), (b"\xc0", 1, 1)),
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 500,
])
def test_what_is_no_question(data: bytes) -> None:
    assert dns.parse(data) is None


def test_a_name_may_point_back_and_only_back() -> None:
    data = message((name("mill.example"), 1, 1), (label(b"www") + b"\xc0\x0c", 28, 1))
    found = dns.parse(data)
    assert found is not None and (found.name, found.questions) == ("mill.example", 2)
    assert dns.read_name(data, 12 + 14 + 4) == ("www.mill.example", len(data) - 4)
    chain = b"\0" * 12 + b"\1a\0" + b"".join(struct.pack(">H", 0xC000 | (12 if at == 0 else 13 + 2 * at))
                                               for at in range(40))
    assert dns.read_name(chain, 15) == ("a", 17)
    assert dns.read_name(chain, 15 + 2 * 15) == ("a", 17 + 2 * 15)
    assert dns.read_name(chain, 15 + 2 * 16) is None


def test_streams() -> None:
    first, second = message((name("a.example"), 1, 1)), message((name("b.example"), 1, 1))
    framed = [struct.pack(">H", len(data)) + data for data in (first, second)]
    for data, names in [(framed[0], ["a.example"]), (framed[0] + framed[1], ["a.example", "b.example"]),
                        (framed[0] + framed[1][:-1], ["a.example"]), (first, ["a.example"]), (b"", []),
                        (framed[0][:2], []), (framed[0][:-3], []), (b"\0\0" * 999, [])]:
        assert [found.name for found in dns.parse_stream(data)] == names
    assert len(dns.parse_stream(framed[0] * 99)) == 16


def test_random_and_mutated_messages_never_raise_and_take_no_time() -> None:
    source = random.Random(17)
    seed = message((name("some.name.example"), 16, 1), (label(b"www") + b"\xc0\x11", 1, 1), flags=0x8180,
                   more=b"\0" * 40)
    well_formed = 0
    for _ in range(20011):
        data = bytearray(seed)
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.choice([0, 1, 63, 64, 0xC0, 0xFF, source.randrange(256)])
        cut = bytes(data[:source.randrange(len(data) + 1)])
        found = dns.parse(cut)
        dns.parse_stream(cut)
        if found is not None:
            well_formed += 1
            assert len(found.name) <= 4 * 255 and found.length == len(cut) and found.name.isprintable()
    assert 1000 < well_formed < 20011
    for _ in range(5003):
        dns.parse(bytes(source.randrange(256) for _ in range(source.randrange(200))))
    assert dns.parse(struct.pack(">6H", 1, 0, 16, 0, 0, 0) + b"\xc0\x0c" * 2000) is None


def record(owner: bytes, kind: int, data: bytes, record_class: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, record_class, 60, len(data)) + data


def answered(*records: bytes, count: Optional[int] = None) -> Tuple[Tuple[str, bytes], ...]:
    """The addresses of an answer about www.mill.example with these records."""
    data = bytearray(message((name("www.mill.example"), 1, 1), flags=0x8180, more=b"".join(records)))
    data[6:8] = (len(records) if count is None else count).to_bytes(2, "big")
    found = dns.parse(bytes(data))
    assert found is not None and found.answer
    return found.addresses


def test_addresses_of_an_answer() -> None:
    asked, alias = b"\xc0\x0c", name("cdn.example")
    four, six = bytes([192, 0, 2, 17]), bytes(range(16))
    assert answered(record(asked, 1, four)) == (("www.mill.example", four),)
    assert answered(record(asked, 5, alias), record(alias, 1, four), record(alias, 28, six), record(asked, 16, b"\3abc")) == (
        ("cdn.example", four), ("cdn.example", six))
    # Another class, another length, a record that ends too soon, more records than there are, a name without an end.
    assert answered(record(asked, 1, four, 3), record(asked, 1, four + b"x"), record(asked, 28, four)) == ()
    assert answered(record(asked, 1, four), record(asked, 1, four)[:-1]) == (("www.mill.example", four),)
    assert answered(record(asked, 1, four), count=17) == (("www.mill.example", four),)
    assert answered(record(asked, 1, four), b"\x3fshort") == (("www.mill.example", four),)
    assert len(answered(*[record(asked, 1, bytes([10, 0, number // 256, number % 256])) for number in range(101)])) == 32


def test_names_of_addresses_are_few_and_the_newest_first() -> None:
    names, address = Hostnames(), bytes([10, 0, 0, 1])
    names.learn("WWW.mill.example", [("cdn.example", address)])
    names.learn("other.example", [("other.example", address)])
    assert names.of(address) == ["other.example", "www.mill.example", "cdn.example"]
    for number in range(101):
        names.learn("n%d.example" % number, [("n%d.example" % number, address)])
    assert names.of(address) == ["n%d.example" % number for number in range(100, 84, -1)]
    for number in range(5003):
        names.learn("many.example", [("many.example", number.to_bytes(4, "big"))])
    assert names.of(address) == [] == names.of(b"") and names.of((5002).to_bytes(4, "big")) == ["many.example"]


def test_names_survive_being_written_and_read() -> None:
    source = random.Random(11)
    for _ in range(2003):
        labels: List[bytes] = []
        while sum(map(len, labels)) + len(labels) < 180 and source.random() < 0.8:
            labels.append(bytes(source.choice(b"abcXYZ019-_") for _ in range(source.randrange(1, 64))))
        data = message((b"".join(map(label, labels)) + b"\0", 1, 1))
        found = dns.parse(data)
        assert found is not None and found.name == b".".join(labels).decode()


# --- metadata services ------------------------------------------------------------------


@pytest.mark.parametrize("data,provider,url,token", [
    (b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", "aws", "/latest/meta-data/", False),
    (b"GET /2021-01-03/meta-data/ HTTP/1.0\r\n\r\n", "aws", "/2021-01-03/meta-data/", False),
    (b"GET /latest/meta-data/ HTTP/1.1\r\nX-aws-ec2-metadata-token: SECRET\r\n\r\n", "aws", "/latest/meta-data/", True),
    (b"PUT /x HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds:60\r\n\r\n", "aws", "/x", True),
    (b"GET /computeMetadata/v1/ HTTP/1.1\r\n\r\n", "gcp", "/computeMetadata/v1/", False),
    (b"GET /x HTTP/1.1\r\nmetadata-flavor:  Google\r\n\r\n", "gcp", "/x", False),
    (b"GET /metadata/instance?api-version=1 HTTP/1.1\r\nMetadata:true\r\n\r\n", "azure",
     "/metadata/instance?api-version=1", False),
    (b"GET /opc/v2/instance/ HTTP/1.1\r\nAuthorization: Bearer Oracle\r\n\r\n", "oracle", "/opc/v2/instance/", False),
    (b"PUT /instance_identity/v1/token HTTP/1.1\r\nMetadata-Flavor: ibm\r\n\r\n", "ibm", "/instance_identity/v1/token",
     False),
    (b"GET / HTTP/1.1", "", "/", False), (b"GET /cut HTTP/1.1\r\nHost", "", "/cut", False),
])
def test_requests(data: bytes, provider: str, url: str, token: bool) -> None:
    found = imds.parse(data)
    assert found is not None
    assert (found.type, found.provider, found.url, found.token) == ("request", provider, url, token)
    assert "SECRET" not in repr(found)


def test_an_answer_without_its_secrets() -> None:
    body = ('{"Code" : "Success","Type":"AWS-HMAC", "AccessKeyId" : "ASIAEXAMPLE17",\n "SecretAccessKey" : "SECRET",'
            '"Token" : "SECRET", "LastUpdated" : "2026-01-02T03:04:05Z", "Expiration" : "2026-01-02T09:04:05Z"}')
    head = b"HTTP/1.1 200 OK\r\nServer: EC2ws\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 17\r\n\r\n"
    found = imds.parse(head + body.encode())
    assert found == imds.Message("response", "aws", "", "", "", "EC2ws", True, imds.Credentials(*CREDENTIALS))
    assert imds.parse(b"HTTP/1.1 404 Not Found\r\n\r\n{\"Type\": \"x\"}") == imds.Message(
        "response", "", "", "", "", "", False, imds.NO_CREDENTIALS)


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"GET /", b"GET / HTTP/2\r\n\r\n", b"get / HTTP/1.1\r\n\r\n",
                                  b"GET  / HTTP/1.1\r\n\r\n", b"HTTP/1.1 999 x\r\n\r\n", b"\0" * 999, b"A" * 8192,
                                  b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n"])
def test_what_is_no_message(data: bytes) -> None:
    assert imds.parse(data) is None


def test_mutated_messages_never_raise() -> None:
    source = random.Random(13)
    seed = b"GET /latest/ HTTP/1.1\r\nHost: a\r\nMetadata-Flavor: Google\r\n\r\n{\"AccessKeyId\": \"x\"}"
    for _ in range(5003):
        data = bytearray(seed)
        for _ in range(source.randrange(1, 9)):
            data[source.randrange(len(data))] = source.randrange(256)
        imds.parse(bytes(data[:source.randrange(len(data) + 1)]))
    assert imds.parse(b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 5000) is not None


# --- from records to rules and lines ----------------------------------------------------


def event_of(kind: str, retval: int = 31, **changes: object) -> Event:
    return Processes(Users()).apply(call_record(kind, dict(FULL[kind], **changes), retval))


ANSWER = {"outgoing": False, "message": (4660, True, "mill.example", 1, 1, 1, 47, 3, ())}
ROLE = ("response", "aws", "", "", "", "EC2ws", False, CREDENTIALS)


@pytest.mark.parametrize("kind,changes,expression", [
    ("dns", {}, 'dns.question.name == "mill.EXAMPLE" && dns.question.type == TXT && dns.question.class == CLASS_INET'),
    ("dns", {}, "dns.id == 4660 && dns.question.count == 1 && dns.question.length == 31"),
    ("dns", {}, "dns.question.name.length == 12"),
    ("dns", {}, "dns.response.code != NOERROR && network.destination.ip == 8.8.4.4 && network.destination.is_public"),
    ("dns", {}, "dns.id > 0 && network.source.ip == 192.168.0.0/16 && network.source.port == 40009"),
    ("dns", {}, "dns.id > 0 && network.size == 31"),
    ("dns", {}, "dns.id > 0 && network.l4_protocol == IP_PROTO_UDP && network.l3_protocol == ETH_P_IP"),
    ("dns", {}, "dns.id > 0 && network.network_direction == EGRESS && network.destination.port == 53"),
    ("dns", ANSWER, "dns.response.code == NXDOMAIN && network.source.port == 53"),
    ("dns", ANSWER, "dns.id > 0 && network.network_direction == INGRESS"),
    ("imds", {}, 'imds.url =~ "/*/meta-data/iam/security-credentials/*" && imds.aws.is_imds_v2 == false'),
    ("imds", {}, 'imds.type == "request" && imds.cloud_provider == "aws" && imds.host == "169.254.169.254"'),
    ("imds", {}, 'imds.user_agent == "curl/8" && imds.server == "" && !network.destination.is_public'),
    ("imds", {"message": ROLE}, 'imds.aws.security_credentials.type == "AWS-HMAC" && imds.server == "EC2ws"'),
    ("cgroup_write", {}, 'cgroup_write.pid == 101 && cgroup_write.file.path == "/sys/fs/cgroup/x/cgroup.procs"'),
    ("selinux", {}, 'selinux.enforce.status == "permissive" && selinux.bool.name == "" && selinux.bool.state == ""'),
    ("selinux", {"name": b"booleans/x", "state": True}, 'selinux.bool.name == "x" && selinux.bool.state == "on"'),
    ("selinux", {"name": b"commit_pending_bools", "state": True}, "selinux.bool_commit.state"),
    ("sysctl", {}, 'sysctl.name == "kernel/core_pattern" && sysctl.value == "|/tmp/x" && sysctl.old_value == "core"'),
    ("sysctl", {}, "sysctl.action == SYSCTL_WRITE && sysctl.file_position == 0 && !sysctl.value_truncated"),
    ("sysctl", {"value": b"x" * 1025}, "sysctl.value_truncated && !sysctl.old_value_truncated"),
    ("socket", {}, "socket.domain == AF_PACKET && socket.type == SOCK_RAW && socket.protocol == 768"),
    ("listen", {}, "listen.addr.port == 443 && listen.backlog == 17 && listen.protocol == IP_PROTO_TCP"),
    ("send", {}, "send.addr.is_public && send.addr.family == AF_INET && send.size == 53 && send.retval == 31"),
])
def test_fields(kind: str, changes: Dict[str, Any], expression: str) -> None:
    compiled = Compiler(TABLE).compile(expression)
    assert compiled.checked.unavailable == ()
    assert compiled.test(event_of(kind, **changes))


@pytest.mark.parametrize("kind,changes,words", [
    ("dns", {}, "asked 8.8.4.4:53 for TXT Mill.example"),
    ("dns", ANSWER, "was told NXDOMAIN by 8.8.4.4:53 about A mill.example"),
    ("imds", {}, "asked the metadata service 169.254.169.254:80 for /latest/meta-data/iam/security-credentials/role"),
    ("cgroup_write", {}, "put process 101 into a cgroup by /sys/fs/cgroup/x/cgroup.procs"),
    ("selinux", {}, "set SELinux to permissive"), ("sysctl", {}, "set kernel/core_pattern to |/tmp/x (was core)"),
    ("sysctl", {"value": b"a\nHIGH b\x1b"}, "set kernel/core_pattern to a\\nHIGH b\\x1b (was core)"),
    ("socket", {}, "made a socket of AF_PACKET, SOCK_RAW"), ("listen", {}, "listens on 8.8.4.4:443"),
    ("send", {"ip": b"\0" * 15 + b"\1"}, "sent 53 bytes to [::1]:443"),
])
def test_words(kind: str, changes: Dict[str, Any], words: str) -> None:
    assert text_form.headline(event_of(kind, **changes)).partition(" ")[2] == words


def test_every_event_is_json() -> None:
    for kind in ("dns", "imds", "cgroup_write", "selinux", "sysctl", "socket", "listen", "send"):
        assert json_form.event_text(event_of(kind), "title", {}, 1, None).isprintable()


# --- which calls stop -------------------------------------------------------------------


@pytest.mark.parametrize("events,some,none", [
    (["open", "connect"], [], ["write", "read", "sendto", "sendmsg", "recvfrom", "socket", "listen"]),
    (["dns"], ["connect", "write", "writev", "sendto", "sendmsg", "sendmmsg"],
     ["read", "recvfrom", "openat", "pwrite64"]),
    (["dns", "dns.response"], ["connect", "write", "read", "recvfrom", "recvmsg", "recvmmsg", "readv"], ["openat"]),
    (["imds"], ["connect", "write", "sendto"], ["read", "recvfrom", "openat"]),
    (["sysctl"], ["openat", "open", "creat", "write", "pwrite64", "writev"], ["connect", "sendto", "sendmsg", "read"]),
    (["send"], ["sendto", "sendmsg", "sendmmsg"], ["connect", "write", "writev", "openat"]),
    (["socket"], ["socket"], ["connect", "listen", "sendto"]),
])
def test_only_calls_that_serve_what_is_wanted_stop(events: List[str], some: List[str], none: List[str]) -> None:
    chosen = {row.call for row in syscalls.rows(Interest(frozenset(events))) if row.event != syscalls.GUARD}
    assert set(some) <= chosen and not set(none) & chosen


def test_answers_are_no_events_of_their_own() -> None:
    assert not ANSWERS & syscalls.EVENTS and {word.partition(".")[0] for word in ANSWERS} <= syscalls.EVENTS

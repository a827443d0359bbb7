"""Outputs by URL: what arrives at a server, byte by byte, and what happens to lines when it does not take them."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable, List

import pytest

from blackbox import Session, ebpfless, environment, rule, run, trace_command, wait_until, write_policy
from collectors import Mailbox, Stream, Web, certificate
from ebpfless_arch.agent.outputs import Label, Voice
from ebpfless_arch.agent.outputs.remote import Remote
from ebpfless_arch.agent.outputs.targets import SCHEMES, target_of
from ebpfless_arch.agent.outputs.ways import Flow
from ebpfless_arch.agent.options import UsageError
from probes import Probe, free_port

MOMENT = Label(1764180000123456789, "high", "shadow")


class Told(Voice):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def complain(self, text: str, level: str = "info") -> None:
        """Keep it."""
        self.lines.append(text)


def remote(url: str, form: str = "text", **options: Any) -> Any:
    """An output, and what it says."""
    told = Told()
    return Remote(target_of(url, form, "host"), told, **options), told.lines


def pump(sink: Remote, condition: Callable[[], bool], what: str) -> None:
    """Have the output work until something is so."""
    def step() -> bool:
        sink.flush()
        return condition()
    wait_until(step, what)


# --- what is sent ---------------------------------------------------------------------

def test_lines_over_tcp_and_unix_sockets(tmp_path: Path) -> None:
    with Stream() as tcp, Stream(str(tmp_path / "s")) as unix:
        for server, url in ((tcp, "tcp://127.0.0.1:%d" % tcp.port), (unix, "unix://%s/s" % tmp_path), (unix, "unix:%s/s" % tmp_path)):
            sink, told = remote(url)
            for number in range(499):
                sink.add("line %d caf\u00e9 \udcff" % number, MOMENT)
            sink.close()
            wait_until(lambda: server.data.endswith("line 498 caf\u00e9 \\udcff\n".encode()), "all has come")
            assert bytes(server.received[-1]).decode().split("\n")[:-1] == ["line %d caf\u00e9 \\udcff" % number for number in range(499)]
            assert (sink.dropped, told) == (0, [])


def test_datagrams(tmp_path: Path) -> None:
    mailbox = Mailbox()
    sink, told = remote("udp://127.0.0.1:%d" % mailbox.port)
    for line in ("one", "x" * 70000, "two"):
        sink.add(line, MOMENT)
    sink.close()
    assert [mailbox.next(), mailbox.next()] == [b"one", b"two"]
    assert (sink.dropped, told) == (1, ["the output udp://127.0.0.1:%d: lines are lost: a line is longer than a datagram may be" % mailbox.port])
    mailbox.close()


def test_syslog_as_rfc_5424_has_it() -> None:
    mailbox = Mailbox()
    sink, _ = remote("syslog://127.0.0.1:%d" % mailbox.port)
    head = "1 2025-11-26T18:00:00.123456Z host ebpfless %d %s - " % (os.getpid(), "%s")
    for label in (MOMENT, Label(MOMENT.time, "", "open"), Label(MOMENT.time, "critical", "a b\u00e9" + "x" * 40)):
        sink.add("a line", label)
    sink.close()
    assert mailbox.next().decode() == "<83>%sa line" % (head % "shadow")
    assert mailbox.next().decode() == "<86>%sa line" % (head % "open")
    assert mailbox.next().decode() == "<82>%sa line" % (head % ("a_b_" + "x" * 28))
    mailbox.close()
    with Stream() as server:
        sink, _ = remote("syslog+tcp://127.0.0.1:%d" % server.port)
        sink.add("a\nline", MOMENT)
        sink.add("", MOMENT)
        sink.close()
        message = "<83>%sa\nline" % (head % "shadow")
        wait_until(lambda: server.data.endswith(b" - "), "all has come")
        assert server.data.decode() == "%d %s%d %s" % (len(message), message, len(message) - 6, message[:-6])


def test_the_host_s_own_syslog(tmp_path: Path) -> None:
    mailbox = Mailbox(str(tmp_path / "log"))
    sink, _ = remote("syslog://%s/log" % tmp_path)
    sink.add("a line", MOMENT)
    sink.close()
    moment = time.strftime("%H:%M:%S", time.localtime(MOMENT.time // 10 ** 9))
    assert re.fullmatch(r"<83>Nov 2[567] %s ebpfless\[%d\]: a line" % (moment, os.getpid()), mailbox.next().decode())
    mailbox.close()
    assert target_of("syslog:", "text", "").endpoint.path == "/dev/log"


def test_posts_hold_arrays_of_objects_or_lines(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("DD-API-KEY: secret\n\nX-More:  a b \n")
    (tmp_path / "headers").chmod(0o600)
    with Web() as web:
        sink, told = remote("http://127.0.0.1:%d/in?x=1#headers=%s/headers" % (web.port, tmp_path), "json")
        for number in range(2503):
            sink.add('{"n":%d}' % number, MOMENT)
        sink.close()
        assert [each["n"] for post in web.posts for each in json.loads(post.body.decode())] == list(range(2503))
        assert (sink.dropped, told, len(web.posts), len({post.connection for post in web.posts})) == (0, [], 3, 1)
        assert {post.path for post in web.posts} == {"/in?x=1"}
        headers = web.posts[0].headers
        assert [headers[name] for name in ("Host", "Content-Type", "DD-API-KEY", "X-More")] == [
            "127.0.0.1:%d" % web.port, "application/json", "secret", "a b"]
        sink, _ = remote("http://127.0.0.1:%d" % web.port)
        sink.add("one", MOMENT)
        sink.add("two", MOMENT)
        sink.close()
        assert (web.posts[-1].path, web.posts[-1].body, web.posts[-1].headers["Content-Type"]) == (
            "/", b"one\ntwo\n", "text/plain; charset=utf-8")


def test_records_of_open_telemetry() -> None:
    with Web(body=b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":""}}') as web:
        sink, told = remote("otlp+http://127.0.0.1:%d" % web.port)
        for name in ("one", "two", "caf\u00e9 \udcff"):
            sink.add(name, MOMENT)
        sink.close()
        (post,) = web.posts
        (resource,) = json.loads(post.body.decode())["resourceLogs"]
        assert post.path == "/v1/logs" and post.headers["Content-Type"] == "application/json"
        assert {"key": "host.name", "value": {"stringValue": "host"}} in resource["resource"]["attributes"]
        records = resource["scopeLogs"][0]["logRecords"]
        assert [record["body"]["stringValue"] for record in records] == ["one", "two", "caf\u00e9 \\udcff"]
        assert records[0] == {"timeUnixNano": "1764180000123456789", "severityNumber": 17, "severityText": "high", "body": {
            "stringValue": "one"}, "attributes": [{"key": "event.name", "value": {"stringValue": "shadow"}}]}
        assert sink.dropped == 2 and told == ["the output otlp+http://127.0.0.1:%d: lines are lost: it has rejected them" % web.port]


# --- what may go wrong ----------------------------------------------------------------

def test_what_is_answered_by_later_is_sent_again() -> None:
    with Web(lambda number: 503 if number <= 2 else 200) as web:
        sink, told = remote("http://127.0.0.1:%d" % web.port)
        sink.add("one", MOMENT)
        pump(sink, lambda: len(web.posts) == 3 and len(told) == 2, "it has been taken")
        assert [post.body for post in web.posts] == [b"one\n"] * 3 and sink.dropped == 0
        name = "the output http://127.0.0.1:%d" % web.port
        assert told == [name + ": it answers 503 Service Unavailable; up to 16 MiB of lines are kept, and it is tried again and again",
                        name + " takes lines again"]
        sink.close()


@pytest.mark.parametrize("status, why", [(404, "404 Not Found (to http://elsewhere/)"), (301, "301 Moved Permanently (to http://elsewhere/)")])
def test_what_is_refused_is_lost_and_told_once(status: int, why: str) -> None:
    with Web(lambda number: status) as web:
        sink, told = remote("http://127.0.0.1:%d" % web.port)
        for number in range(2003):
            sink.add("line", MOMENT)
        sink.close()
        assert (sink.dropped, len(web.posts), len(told)) == (2003, 3, 1)
        assert told[0].endswith("lines are lost: it answers " + why) and sink.why_dropped.endswith("it answers " + why)


def test_a_server_that_closes_each_connection() -> None:
    with Web(version="HTTP/1.0") as web:
        sink, told = remote("http://localhost:%d" % web.port)
        for number in range(3001):
            sink.add("line %d" % number, MOMENT)
        sink.close()
        assert b"".join(post.body for post in web.posts).decode().split("\n")[:-1] == ["line %d" % number for number in range(3001)]
        assert (sink.dropped, told) == (0, []) and len({post.connection for post in web.posts}) == len(web.posts) == 4


def test_what_speaks_no_http_is_told() -> None:
    with Stream() as server:
        sink, told = remote("http://127.0.0.1:%d" % server.port)
        sink.add("one", MOMENT)
        pump(sink, lambda: len(server.received) > 0 and len(server.received[0]) > 0, "it has asked")
        server._open[-1].sendall(b"220 smtp.example ESMTP\r\n")
        pump(sink, lambda: len(told) == 1, "that is told")
        assert "it does not answer in HTTP; up to 16 MiB of lines are kept" in told[0]


@pytest.mark.parametrize("answer, trouble", [
    (b"HTTP/1.1 \xb200 OK\r\n\r\n", "it does not answer in HTTP"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 5003, "it does not answer in HTTP"),
    (b"HTTP/1.1 503 Busy\r\nContent-Length: \xb2\r\n\r\n", "it answers 503 Busy"),
    (b"HTTP/1.1 503 Busy\r\nContent-Length: " + b"9" * 5003 + b"\r\n\r\n", "it answers 503 Busy"),
])
def test_an_odd_answer_is_told_and_the_line_is_kept(answer: bytes, trouble: str) -> None:
    with Stream() as server:
        sink, told = remote("http://127.0.0.1:%d" % server.port)
        sink.add("one", MOMENT)
        pump(sink, lambda: len(server.received) > 0 and len(server.received[0]) > 0, "it has asked")
        server._open[-1].sendall(answer)
        pump(sink, lambda: len(told) == 1, "that is told")
        assert trouble + "; up to 16 MiB of lines are kept" in told[0] and sink.dropped == 0


@pytest.mark.parametrize("body", [b"[" * 100003, b"null"] + [
    b'{"partialSuccess": {"rejectedLogRecords": %s}}' % number for number in (b"Infinity", b"-5", b"9" * 5003, b'"2"x')],
    ids=["deep", "null", "infinite", "negative", "long", "odd"])
def test_a_server_that_counts_oddly_what_it_rejects_has_taken_it(body: bytes) -> None:
    with Web(lambda number: 200, body=body) as web:
        sink, told = remote("otlp+http://127.0.0.1:%d" % web.port)
        sink.add("one", MOMENT)
        sink.close()
        assert (len(web.posts), sink.dropped, told) == (1, 0, [])


def test_answers_without_content_come_over_one_connection() -> None:
    with Web(lambda number: 204, body=b"") as web:
        sink, told = remote("http://127.0.0.1:%d" % web.port)
        for number in range(2003):
            sink.add("line", MOMENT)
        sink.close()
        assert (sink.dropped, told) == (0, []) and len(web.posts) == 3 and len({post.connection for post in web.posts}) == 1


def test_a_server_may_come_late_and_go_and_come_again() -> None:
    port = free_port()
    sink, told = remote("tcp://localhost:%d" % port)
    sink.add("one", MOMENT)
    pump(sink, lambda: len(told) == 1, "nobody is there")
    assert told == ["the output tcp://localhost:%d: Connection refused; up to 16 MiB of lines are kept, and it is tried again and "
                    "again" % port]
    with Stream(("127.0.0.1", port)) as server:
        pump(sink, lambda: server.data == b"one\n" and len(told) == 2, "it has the first line")
        server.hang_up()
        sink.add("two", MOMENT)
        pump(sink, lambda: len(server.received) == 2 and b"two\n" in server.data, "another connection has the second one")
        sink.add("three", MOMENT)
        sink.close()
        wait_until(lambda: b"three\n" in server.data, "the last line")
        assert sink.dropped == 0 and told[1:] == ["the output tcp://localhost:%d takes lines again" % port]


def test_nobody_there_at_the_end_is_not_waited_for() -> None:
    sink, told = remote("tcp://localhost:%d" % free_port())
    sink.add("one", MOMENT)
    sink.add("two", MOMENT)
    sink.close()
    assert sink.dropped == 2 and sink.why_dropped.endswith(": Connection refused") and len(told) == 1


def test_what_is_not_read_is_kept_and_beyond_that_dropped() -> None:
    with Stream(reads=False) as server:
        sink, told = remote("tcp://127.0.0.1:%d" % server.port, room=1 << 20)
        for number in range(20011):
            sink.add("x" * 999, MOMENT)
            if number % 100 == 0:
                sink.flush()
        assert sink._held <= 1 << 20 and 0 < sink.dropped < 20011
        assert sink.why_dropped.endswith("it takes less than there is")


def test_lines_that_the_other_host_did_not_acknowledge_come_again() -> None:
    """The connection breaks while most of what was sent is in neither program's hands."""
    with Stream(reads=False) as server:
        sink, _ = remote("tcp://127.0.0.1:%d" % server.port)
        for number in range(15013):
            sink.add("line %d %s" % (number, "x" * 900), MOMENT)
        pump(sink, lambda: isinstance(sink._way, Flow) and 0 < sink._way.arrived < 15013 and not sink.flush() is None, "the connection is full")
        arrived = sink._way.arrived
        server._reads = True
        server._open[-1].close()  # with what it has not read: a reset
        pump(sink, lambda: len(server.received) == 2 and server.data.endswith(b"x\n") and b"line 15012 " in server.data, "the rest")
        numbers = [int(line.split()[1]) for line in server.lines()]
        assert numbers == list(range(numbers[0], 15013)) and numbers[0] <= arrived + 700 and sink.dropped == 0
        sink.close()


# --- TLS ------------------------------------------------------------------------------

def test_lines_over_tls(tmp_path: Path) -> None:
    file, context = certificate(tmp_path)
    with Stream(context=context) as server, Web(context=context) as web:
        for kind, port in (("tls", server.port), ("https", web.port)):
            sink, told = remote("%s://localhost:%d#ca=%s" % (kind, port, file))
            for number in range(5003):
                sink.add("line %d" % number, MOMENT)
            sink.close()
            assert (sink.dropped, told) == (0, [])
        wait_until(lambda: len(server.lines()) == 5003, "all has come")
        assert server.lines() == ["line %d" % number for number in range(5003)]
        assert b"".join(post.body for post in web.posts) == server.data


def test_a_certificate_that_is_not_accepted(tmp_path: Path) -> None:
    file, context = certificate(tmp_path, "elsewhere")
    with Stream(context=context) as server:
        for end, why in (("", "self"), ("#ca=" + file, "localhost")):
            sink, told = remote("tls://localhost:%d%s" % (server.port, end))
            sink.add("secret", MOMENT)
            sink.close()
            assert sink.dropped == 1 and len(told) == 1
            assert "its certificate is not accepted: " in told[0] and "#ca=FILE" in told[0], told
            assert why in told[0].lower() or sys.version_info < (3, 7)  # which does not say why
        assert b"secret" not in server.data


# --- the command line -----------------------------------------------------------------

@pytest.mark.parametrize("url, complaint", [
    ("htp://host/", "there are no outputs of the kind 'htp'; there are %s; did you mean http?" % ", ".join(SCHEMES)),
    ("tcp://host", "say tcp://HOST:PORT"),
    ("tcp://:99", "say tcp://HOST:PORT"),
    ("syslog+tls://", "say syslog+tls://HOST[:6514]"),
    ("tcp://host:port", "a port is a number up to 65535"),
    ("tcp://host:70000", "a port is a number up to 65535"),
    ("tcp://host:99/x", "nothing can follow the port, and there is /x"),
    ("unix://host/x", "a path is needed, as in unix:///run/collector.sock"),
    ("https://me:secret@host/", "whoever lists processes can read a password there: put 'Authorization: ...' into a file, and name it by "
                                "#headers=FILE"),
    ("http://host/a b", "a URL has printable ASCII characters only"),
    ("http://host/#ca=/etc/passwd", "#ca: known are #headers=FILE"),
    ("tcp://host:1#x", "#x: nothing can follow a # here"),
    ("tls://host:1#ca=/nowhere", "#ca=/nowhere: there is no such file"),
    ("tls://host:1#ca=/etc/passwd", "/etc/passwd holds no certificates (PEM)"),
    ("tls://host:1#cert=/etc/passwd", "/etc/passwd does not hold a certificate with its key (PEM)"),
    ("http://host#headers=/etc/passwd", "the file of headers /etc/passwd is open to other users: chmod 600 /etc/passwd"),
])
def test_what_is_wrong_with_a_url(url: str, complaint: str) -> None:
    with pytest.raises((ValueError, UsageError)) as raised:
        target_of(url, "text", "host")
    assert str(raised.value) == complaint


@pytest.mark.parametrize("line", ["no colon", "Na me: x", "Host: x"])
def test_what_is_wrong_with_a_file_of_headers(line: str, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Good: 1\n%s\n" % line)
    file.chmod(0o600)
    with pytest.raises(ValueError) as raised:
        target_of("http://host#headers=%s" % file, "text", "host")
    assert str(raised.value).startswith("%s:2: 'Name: value' is needed" % file)


def test_a_wrong_url_is_one_line_and_starts_nothing() -> None:
    result = run(trace_command(["echo", "started"], ["--output", "tcp://host"]))
    assert result[:3] == (2, b"", b"ebpfless trace: --output tcp://host: say tcp://HOST:PORT\n")


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A rule for one file."""
    (tmp_path / "secret").write_text("")
    return write_policy(tmp_path / "policy.json", [rule("secret", 'open.file.path == "%s/secret"' % tmp_path)])


def test_every_line_of_a_command_arrives(tmp_path: Path, policy: str) -> None:
    with Stream() as server, Web() as web:
        file = tmp_path / "events"
        outputs = [str(file), "tcp://localhost:%d" % server.port, "http://localhost:%d" % web.port]
        options = [word for output in outputs for word in ("--output", output)]
        result = run(trace_command(["sh", "-c", 'for i in 1 2 3; do cat "$0"; done; exit 7', str(tmp_path / "secret")],
                                   ["--policy", policy, "--events", "--format", "json"] + options))
        assert result[:3] == (7, b"", b"")
        lines = file.read_text().splitlines()
        assert sum('"rule_id":"secret"' in line for line in lines) == 3
        wait_until(lambda: len(server.lines()) >= len(lines), "all lines")
        assert server.lines() == lines
        assert [each for post in web.posts for each in json.loads(post.body.decode())] == [json.loads(line) for line in lines]


def test_what_a_daemon_does_later_arrives_once(tmp_path: Path, policy: str) -> None:
    """The process that goes on watching has the connection, and what was not sent yet."""
    script = 'cat "$0" & (read x <"$1"; cat "$0") >/dev/null 2>&1 & wait %1; exit 3'
    os.mkfifo(str(tmp_path / "fifo"))
    with Stream() as server:
        result = run(trace_command(["sh", "-c", script, str(tmp_path / "secret"), str(tmp_path / "fifo")],
                                   ["--policy", policy, "--output", "tcp://localhost:%d" % server.port]))
        assert result[:3] == (3, b"", b"")
        wait_until(lambda: len(server.lines()) == 1, "what the command did")
        (tmp_path / "fifo").write_text("go\n")
        wait_until(lambda: len(server.lines()) == 2, "what the daemon did")
        assert len(server.received) == 1


def test_lines_that_nobody_takes_are_counted_at_the_end(tmp_path: Path, policy: str) -> None:
    url = "tcp://localhost:%d" % free_port()
    result = run(trace_command(["cat", str(tmp_path / "secret")], ["--policy", policy, "--output", url]))
    assert result[:2] == (0, b"")
    assert result.stderr.decode() == (
        "ebpfless: the output %s: Connection refused; up to 16 MiB of lines are kept, and it is tried again and again\n"
        "ebpfless: 1 lines were dropped, for %s: Connection refused\n" % (url, url))


def test_a_probe_s_output(tmp_path: Path, policy: str) -> None:
    with Stream() as server:
        with Probe(tmp_path, "--policy", policy, "--output", "tcp://localhost:%d" % server.port) as probe:
            assert run(probe.tracer(["cat", str(tmp_path / "secret")], "--wait-probe", "30")).status == 0
            wait_until(lambda: any('"rule_id":"secret"' in line for line in server.lines()), "the detection")
            assert probe.stop() == 0
        wait_until(lambda: len(server.lines()) == len(probe.events()), "all lines")
        assert [json.loads(line) for line in server.lines()] == probe.events()

"""What programs say to name servers and metadata services, by every call that can say it, and what rules make of it.

tests/programs/network.c does the calls and prints their results, in a network namespace of its own.
"""

import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import pytest

from call_runs import WIDTHS
from cgroups import new_cgroup, remove_cgroup
from blackbox import (PROGRAMS, Compiler, Event, Result, event_options, is_detection, named, read_events, retval, rule,
                      run, trace_command, write_policy)

pytestmark = pytest.mark.root

PUBLISHED = Path(__file__).resolve().parent.parent.parent / "shared/reference/datadog/default.policy.json"
ALONE = ["unshare", "--net", "--mount", "sh", "-c"]
LOOPBACK = 'ip link set lo up && ip addr add 169.254.169.254/32 dev lo && exec "$@"'
EACCES, ECONNREFUSED, ENOENT, EOPNOTSUPP, EBADF, EAFNOSUPPORT = -13, -111, -2, -95, -9, -97
TXT, UDP, TCP = "TXT", "IP_PROTO_UDP", "IP_PROTO_TCP"
Pairs = List[Tuple[str, int]]


@pytest.fixture(params=WIDTHS)
def program(request: Any, compile_c: Compiler) -> str:
    return compile_c("network.c", *request.param)


def is_32_bit(program: str) -> bool:
    with open(program, "rb") as image:
        return image.read(5)[4] == 1


def run_alone(command: Sequence[str], folder: Path, options: Sequence[str] = ()) -> Result:
    """Traces a command that gets a network namespace of its own, which the tracer is not in."""
    output = str(folder / "events")
    traced = trace_command(ALONE + [LOOPBACK, "sh"] + list(command), event_options(output) + list(options))
    return run(traced)._replace(events=read_events(output))


def printed(result: Result) -> Pairs:
    """The calls of the program with their results."""
    return [(line.split()[0], int(line.split()[1])) for line in result.stdout.decode().splitlines()]


def of_program(result: Result, program: str, *names: str) -> List[Event]:
    """The events of a program, no detections."""
    return [event for event in result.events if event["evt"]["name"] in names and not is_detection(event)
            and event["process"]["executable"]["path"] == program]


def asked(events: Sequence[Event]) -> Pairs:
    """Names and results of events of DNS, without the domain."""
    return [(event["dns"]["question"]["name"].partition(".")[0], retval(event)) for event in events]


def told(events: Sequence[Event]) -> List[Dict[str, Any]]:
    """What only `evt.variables` has of events."""
    return [{name: value for name, value in event["evt"]["variables"].items() if name != "sequence"}
            for event in events]


# --- DNS ---------------------------------------------------------------------------


def test_questions_by_every_call(program: str, tmp_path: Path) -> None:
    result = run_alone([program, "questions"], tmp_path)
    assert (result.status, result.stderr) == (0, b"")
    events = of_program(result, program, "dns")
    sub = [("sub-send", 34), ("sub-sendto", 36), ("sub-sendmsg", 37), ("sub-sendmsg", 2), ("sub-second", 2)]
    assert asked(events) == [
        ("write", 31), ("writev", 32), ("sendto", 32), ("sendmsg", 33), ("sendmmsg", 2), ("second", 2),
        ("addressed", 35), ("header", 32), ("refused", EACCES), ("duplicate", 35), ("child", 31)
    ] + sub * is_32_bit(program)
    first = events[0]
    assert first["dns"] == {"id": 0x1234, "is_query": True, "response": {"code": 0}, "question": {
        "name": "write.example", "type": TXT, "class": "CLASS_INET", "count": 1, "size": 31}}
    network = first["network"]
    assert network.pop("source")["ip"] == "127.0.0.1"
    assert network == {"l3_protocol": "ETH_P_IP", "l4_protocol": UDP, "size": 31, "network_direction": "egress",
                       "destination": {"ip": "127.0.0.1", "port": 53}}
    assert {event["network"]["destination"]["port"] for event in events} == {53}


def test_answers_by_every_call(program: str, tmp_path: Path) -> None:
    result = run_alone([program, "answers"], tmp_path)
    assert (result.status, result.stderr) == (0, b"")
    answers = [event for event in of_program(result, program, "dns") if not event["dns"]["is_query"]]
    sub = [("time64", 1), ("sub-recv", 34), ("sub-recvfrom", 38), ("sub-recvmsg", 37), ("sub-recvmmsg", 1)]
    assert asked(answers) == [
        ("read", 30), ("readv", 31), ("recvfrom", 34), ("recvmsg", 33), ("recvmmsg", 2), ("second", 2), ("loose", 31)
    ] + sub * is_32_bit(program)
    assert {event["dns"]["response"]["code"] for event in answers} == {3}
    assert answers[0]["network"]["source"] == {"ip": "127.0.0.1", "port": 53}
    assert answers[0]["network"]["network_direction"] == "ingress"


def test_questions_and_answers_by_tcp(program: str, tmp_path: Path) -> None:
    result = run_alone([program, "stream"], tmp_path)
    assert (result.status, result.stderr) == (0, b"")
    events = of_program(result, program, "dns")
    assert asked(events) == [("framed", 34), ("first", 66), ("other", 66), ("bare", 30), ("bare", 30)]
    assert [event["dns"]["is_query"] for event in events] == [True, True, True, True, False]
    assert {event["network"]["l4_protocol"] for event in events} == {TCP}


def test_without_a_filter_in_the_kernel_it_is_the_same(compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("network.c")
    both = []
    for options in ([], ["--disable-seccomp"]):
        result = run_alone([program, "questions", "answers", "stream"], tmp_path, options)
        both.append(of_program(result, program, "dns"))
        (tmp_path / "events").unlink()
    assert asked(both[0]) == asked(both[1]) != []


def test_rules_are_asked_about_answers_only_if_they_read_them(compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("network.c")
    policy = write_policy(tmp_path / "policy", [
        rule("asked", 'dns.question.name == "READ.example" && dns.question.type == TXT '
                      '&& network.destination.port == 53'),
        rule("missing", 'dns.response.code == NXDOMAIN && dns.question.name == "recvmmsg.example"'),
        rule("no-error", 'dns.response.code == NOERROR && dns.question.name != ""')])
    output = str(tmp_path / "events")
    result = run(trace_command(ALONE + [LOOPBACK, "sh", program, "answers"],
                               ["--format", "json", "--output", output, "--policy", policy]))
    assert result.status == 0
    assert [event["agent"]["rule_id"] for event in read_events(output)] == ["asked", "missing"]


def test_a_question_can_be_denied(compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("network.c")
    policy = write_policy(tmp_path / "policy", [
        rule("no", 'dns.question.name == "sendmsg.example"', actions=[{"deny": {"errno": "EACCES"}}])])
    result = run_alone([program, "questions"], tmp_path, ["--policy", policy])
    results = dict(printed(result)[:5])
    assert results == {"write": 31, "writev": 32, "sendto": 32, "sendmsg": EACCES, "sendmmsg": 2}
    assert asked(of_program(result, program, "dns"))[2:5] == [("sendto", 32), ("sendmsg", EACCES), ("sendmmsg", 2)]


def test_a_socket_that_was_connected_before_the_trace(tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    question = r"\x12\x34\1\0\0\1\0\0\0\0\0\0\4mill\0\0\1\0\1"
    prepare = "ip link set lo up; exec 3<>/dev/udp/127.0.0.1/53; exec \"$@\""
    result = run(["unshare", "--net", "bash", "-c", prepare, "bash"]
                 + trace_command(["bash", "-c", "printf '%s' >&3" % question], event_options(output)))
    assert (result.status, result.stderr) == (0, b"")
    (event,) = named(read_events(output), "dns")
    assert (event["dns"]["question"]["name"], event["dns"]["question"]["type"]) == ("mill", "A")


SCRIPT = """
ip link set lo up && ip addr add 169.254.169.254/32 dev lo
echo nameserver 127.0.0.1 >resolv.conf && mount --bind resolv.conf /etc/resolv.conf
echo hosts: files dns >nsswitch.conf && mount --bind nsswitch.conf /etc/nsswitch.conf
mkfifo ready
python3 %s >ready &
server=$!
read line <ready
"$@"
status=$?
kill $server
exit $status
""" % (PROGRAMS / "name_server.py")


def with_name_server(command: Sequence[str], folder: Path, options: Sequence[str]) -> Result:
    """Runs a traced command where a name server answers at 127.0.0.1."""
    output = str(folder / "events")
    traced = trace_command(command, ["--format", "json", "--output", output] + list(options))
    result = run(ALONE + [SCRIPT, "sh"] + traced, cwd=str(folder))
    return result._replace(events=read_events(output))


@pytest.mark.parametrize("command,output,questions", [
    (["dig", "@127.0.0.1", "+short", "seventeen.example"], b"192.0.2.17\n", [("seventeen.example", "A", UDP)]),
    (["dig", "@127.0.0.1", "+short", "+tcp", "TXT", "tcp.example"], b'"seventeen"\n', [("tcp.example", TXT, TCP)]),
    (["getent", "ahostsv4", "mill.example"], None, [("mill.example", "A", UDP)]),
    (["getent", "hosts", "both.example"], None, [("both.example", "AAAA", UDP), ("both.example", "A", UDP)]),
    (["getent", "ahostsv4", "missing.example"], b"", [("missing.example", "A", UDP)]),
], ids=["dig", "dig-tcp", "getent", "getent-both", "getent-missing"])
def test_real_resolvers(command: List[str], output: bytes, questions: List[Tuple[str, str, str]],
                        tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip("needs %s" % command[0])
    result = with_name_server(command, tmp_path, ["--events"])
    assert output is None or result.stdout == output
    assert result.stderr == b""
    events = named(result.events, "dns")
    seen = [[(event["dns"]["question"]["name"], event["dns"]["question"]["type"], event["network"]["l4_protocol"])
             for event in events if event["dns"]["is_query"] == is_query] for is_query in (True, False)]
    assert seen[0] == questions
    assert sorted(seen[1]) == sorted(questions)
    codes = {event["dns"]["response"]["code"] for event in events if not event["dns"]["is_query"]}
    assert codes == {3 if "missing.example" in command else 0}


@pytest.mark.parametrize("options", [[], ["--events"]], ids=["rules", "events"])
def test_connections_have_the_names_that_were_asked_for(options: List[str], tmp_path: Path) -> None:
    """Whoever asked: a process that is told an address, or reads it elsewhere, connects as well."""
    policy = write_policy(tmp_path / "policy", [
        rule("named", 'connect.addr.hostname == "Mill.EXAMPLE" && connect.addr.port == 443'),
        rule("pattern", 'connect.addr.hostname in [~"*.example"]'), rule("other", 'connect.addr.hostname == "example"'),
        rule("accepted", 'accept.addr.hostname == "mill.example"')])
    connect = 'bash -c "exec 3<>/dev/tcp/%s/443" 2>/dev/null; '
    script = ("ip addr add 192.0.2.17/32 dev lo; " + connect % "192.0.2.17" + "getent ahostsv4 mill.example >/dev/null; "
              + connect % "192.0.2.17" + connect % "127.0.0.1" + "true")
    result = with_name_server(["sh", "-c", script], tmp_path, ["--policy", policy] + options)
    assert (result.status, result.stderr) == (0, b"")
    connected = [(event["agent"].get("rule_id"), event["connect"]["addr"]["ip"], event["connect"]["hostnames"])
                 for event in result.events if "connect" in event and event["connect"]["addr"]["port"] == 443]
    told = [(name, "192.0.2.17", ["mill.example"]) for name in (None, "named", "pattern")]
    assert connected == ([(None, "192.0.2.17", [])] + told + [(None, "127.0.0.1", [])] if options else told[1:])
    assert bool(named(result.events, "dns")) == bool(options)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published policy is not beside the repository")
def test_the_published_rules_of_dns_fire(tmp_path: Path) -> None:
    names = ["discord.com", "x.icp0.io", "icanhazip.com", "minexmr.com", "pastebin.com"]
    asking = "; ".join("getent ahostsv4 %s" % name for name in names)
    asking += "; dig @127.0.0.1 +short TXT seventeen.example"
    cgroup = new_cgroup("17" * 32)
    asking += "; echo $$ >%s/cgroup.procs; sh -c 'dig @127.0.0.1 +short SRV any.any.svc.cluster.local; true'" % cgroup
    try:
        result = with_name_server(["sh", "-c", asking], tmp_path, ["--policy", str(PUBLISHED)])
    finally:
        remove_cgroup(cgroup)
    fired = {event["agent"]["rule_id"] for event in result.events if event["evt"]["name"] == "dns"}
    assert fired == {"chatroom_request_v2", "dns_txt_query", "icp_canister_dns_lookup", "ip_check_domain_v2",
                     "mining_pool_lookup", "paste_site_v2", "kubernetes_dns_enumeration"}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published policy is not beside the repository")
def test_the_published_rules_of_connections_by_name_fire(tmp_path: Path) -> None:
    names = {"webhook.site": "connection_to_exfil_domain", "api.github.com": "github_api_contacted",
             "icanhazip.com": "ip_lookup_domain", "tunnel.us.ngrok.com": "ngrok_domain", "pastebin.com": "paste_site_domain",
             "x.oast.fun": "pentest_domain", "minexmr.com": "mining_pool_domain_v2", "ssh.tmate.io": "tmate_usage"}
    connect = "bash -c 'exec 3<>/dev/tcp/9.9.9.17/%d' 2>/dev/null"
    script = ["ip route add local 9.9.9.17 dev lo", connect % 443]
    script += ["getent ahostsv4 %s; %s" % (name, connect % (7443 if "xmr" in name else 443)) for name in names]
    result = with_name_server(["sh", "-c", "; ".join(script + ["true"])], tmp_path, ["--policy", str(PUBLISHED)])
    fired = [event["agent"]["rule_id"] for event in result.events if "connect" in event]
    assert {rule_id for rule_id in fired if "domain" in rule_id or rule_id in names.values()} == set(names.values())


# --- metadata services -------------------------------------------------------------


def test_requests_to_metadata_services(program: str, tmp_path: Path) -> None:
    result = run_alone([program, "metadata"], tmp_path)
    assert (result.status, result.stderr) == (0, b"")
    events = of_program(result, program, "imds")
    own = {"type": "request", "host": "169.254.169.254"}
    credentials = {"code": "Success", "type": "AWS-HMAC", "access_key_id": "ASIAEXAMPLE17",
                   "last_updated": "2026-01-02T03:04:05Z", "expiration": "2026-01-02T09:04:05Z"}
    assert [(event["imds"], retval(event)) for event in events] == [
        (dict(own, cloud_provider="aws", url="/latest/meta-data/iam/security-credentials/role", user_agent="mill/17",
              aws={"is_imds_v2": False}), 108),
        (dict(own, cloud_provider="aws", url="/latest/api/token", aws={"is_imds_v2": True}), 99),
        ({"type": "request", "cloud_provider": "gcp", "url": "/computeMetadata/v1/"}, 62),
        ({"type": "response", "cloud_provider": "aws", "server": "EC2ws",
          "aws": {"is_imds_v2": False, "security_credentials": credentials}}, 239)]
    assert events[0]["network"]["destination"] == {"ip": "169.254.169.254", "port": 80}
    assert events[3]["network"]["source"] == {"ip": "169.254.169.254", "port": 80}
    assert b"SECRET" not in (tmp_path / "events").read_bytes()


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published policy is not beside the repository")
def test_the_published_rules_of_metadata_services_fire(compile_c: Compiler, tmp_path: Path) -> None:
    for name, program in (("nginx", "/bin/sh"), ("client", compile_c("network.c"))):
        shutil.copy(program, str(tmp_path / name))  # which makes them new as well
    output = str(tmp_path / "events")
    command = ALONE + [LOOPBACK, "sh", str(tmp_path / "nginx"), "-c", str(tmp_path / "client") + " metadata; true"]
    result = run(trace_command(command, ["--format", "json", "--output", output, "--policy", str(PUBLISHED)]))
    assert result.status == 0
    fired = [event["agent"]["rule_id"] for event in read_events(output) if event["evt"]["name"] == "imds"]
    assert sorted(fired) == ["modified_file_requesting_imds_creds", "webapp_imds_V1_request"]


FETCH = """
import http.server, os, sys, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"i-17")
    def log_message(self, *words): pass
class Server(http.server.HTTPServer):
    address_family = __import__("socket").AF_INET6
server = Server(("::", 80), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
request = urllib.request.Request(sys.argv[1], headers={"X-aws-ec2-metadata-token": "xSECRETx"})
print(urllib.request.urlopen(request).read().decode(), flush=True)
"""


@pytest.mark.once
@pytest.mark.parametrize("host,ip", [("169.254.169.254",) * 2, ("[fd00:ec2::254]", "fd00:ec2::254")], ids=["4", "6"])
def test_a_real_client_of_a_metadata_service(host: str, ip: str, tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    prepare = LOOPBACK.replace("&& exec", "&& ip addr add fd00:ec2::254/128 dev lo && exec")
    result = run(trace_command(ALONE + [prepare, "sh", "python3", "-c", FETCH, "http://%s/latest/meta-data/id" % host],
                               event_options(output)))
    assert (result.status, result.stdout) == (0, b"i-17\n")
    events = named(read_events(output), "imds")
    assert [(event["imds"]["type"], event["imds"].get("url"), event["imds"].get("aws")) for event in events] == [
        ("request", "/latest/meta-data/id", {"is_imds_v2": True}), ("response", None, None)]
    assert [event["network"]["destination"]["ip"] for event in events] == [ip, ip]


# --- sockets and messages ------------------------------------------------------------


def test_sockets_listening_and_messages_with_an_address(program: str, tmp_path: Path) -> None:
    result = run_alone([program, "sockets"], tmp_path)
    assert (result.status, result.stderr) == (0, b"")
    events = of_program(result, program, "socket", "listen", "send")
    ours = {"family": "AF_INET", "ip": "127.0.0.1", "port": 5300}
    unix = {"family": "AF_UNIX", "ip": "", "port": 0}
    none = {"family": "AF_UNSPEC", "ip": "", "port": 0}
    results = dict((name, [value for call, value in printed(result) if call == name])
                   for name in ("socket", "sub-socket", "sub-listen"))
    made = [("AF_NETLINK", "SOCK_RAW", 0), ("AF_PACKET", "SOCK_DGRAM", 0x300), ("AF_INET", "SOCK_RAW", 1),
            ("77", "SOCK_RAW", 0), ("AF_INET", "SOCK_PACKET", 0x300)]
    sockets = results["socket"][:3] + results["socket"][4:]
    expected: List[Dict[str, Any]] = [
        {"retval": number, "socket_family": family, "socket_type": kind, "socket_protocol": protocol}
        for (family, kind, protocol), number in zip(made, sockets)]
    udp, tcp, other = UDP, TCP, "IP_PROTO_IP"
    expected += [
        {"retval": 0, "addr": dict(ours, port=5301), "protocol": tcp, "backlog": 17},
        {"retval": EOPNOTSUPP, "addr": none, "protocol": udp, "backlog": 3},
        {"retval": EBADF, "addr": none, "protocol": other, "backlog": 3},
        {"retval": 0, "addr": unix, "protocol": other, "backlog": 5, "socket_path": "@mill"},
        {"retval": 7, "addr": ours, "protocol": udp, "size": 7},
        {"retval": ECONNREFUSED, "addr": unix, "protocol": other, "size": 1, "socket_path": "@mill"},
        {"retval": 17, "addr": {"family": "AF_INET6", "ip": "::1", "port": 5300}, "protocol": udp, "size": 17},
        {"retval": 27, "addr": ours, "protocol": udp, "size": 27},
        {"retval": 2, "addr": ours, "protocol": udp, "size": 27},
        {"retval": 2, "addr": ours, "protocol": udp, "size": 27},
        {"retval": ENOENT, "addr": unix, "protocol": other, "size": 3, "socket_path": "/nonexistent"}]
    if is_32_bit(program):
        expected += [
            {"retval": results["sub-socket"][0], "socket_family": "AF_NETLINK", "socket_type": "SOCK_RAW",
             "socket_protocol": 0},
            {"retval": 0, "addr": dict(ours, port=5301), "protocol": tcp, "backlog": 5},
            {"retval": 11, "addr": ours, "protocol": udp, "size": 11}]
    seen = told(events)
    assert seen[6].pop("addr") and expected[6].pop("addr")  # what was never bound has a port or none
    assert seen == expected


def test_rules_on_sockets(compile_c: Compiler, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("raw", "socket.type == SOCK_RAW && socket.domain == AF_INET && socket.protocol == 1"),
        rule("opened", "listen.addr.port == 5301 && listen.backlog == 17"),
        rule("told", 'send.addr.ip == ::1 && send.size == 17 && !send.addr.is_public && send.addr.path == ""')])
    output = str(tmp_path / "events")
    run(trace_command(ALONE + [LOOPBACK, "sh", compile_c("network.c"), "sockets"],
                      ["--format", "json", "--output", output, "--policy", policy]))
    assert [event["agent"]["rule_id"] for event in read_events(output)] == ["raw", "opened", "told"]

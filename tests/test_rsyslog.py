"""What syslog outputs send, as Debian's rsyslog understands it."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import List

import pytest

from blackbox import wait_until
from collectors import certificate
from probes import free_port
from test_outputs import MOMENT, remote

CONFIGURATION = '''
global(workDirectory="{folder}" maxMessageSize="256k" defaultNetstreamDriverCAFile="{pem}"
       defaultNetstreamDriverCertFile="{pem}" defaultNetstreamDriverKeyFile="{folder}/localhost.key")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imuxsock" sysSock.use="off")
template(name="t" type="string"
         string="%syslogfacility-text%.%syslogseverity-text% %timereported:::date-rfc3339% %hostname% %app-name% %msgid% %msg%\\n")
ruleset(name="r") {{ action(type="omfile" file="{folder}/out" template="t") }}
input(type="imudp" port="{ports[0]}" address="127.0.0.1" ruleset="r")
input(type="imptcp" port="{ports[1]}" address="127.0.0.1" ruleset="r")
input(type="imtcp" port="{ports[2]}" address="127.0.0.1" ruleset="r")
input(type="imuxsock" socket="{folder}/log" ruleset="r")
'''


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as guest:
        return guest.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("rsyslogd") or not Path("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so").exists(),
                    reason="needs rsyslog and rsyslog-gnutls")
def test_rsyslog_understands_each_kind(tmp_path: Path) -> None:
    pem, _ = certificate(tmp_path)
    ports = [free_port() for _ in range(3)]
    (tmp_path / "conf").write_text(CONFIGURATION.format(folder=tmp_path, pem=pem, ports=ports))
    server = subprocess.Popen(["rsyslogd", "-n", "-f", str(tmp_path / "conf"), "-i", str(tmp_path / "pid")])
    urls = ["syslog://127.0.0.1:%d" % ports[0], "syslog+tcp://127.0.0.1:%d" % ports[1],
            "syslog+tls://localhost:%d#ca=%s" % (ports[2], pem), "syslog://%s/log" % tmp_path]
    try:
        wait_until(lambda: all(map(listens, ports[1:])) and (tmp_path / "log").exists(), "rsyslog listens")
        expected: List[str] = []
        for url in urls:
            sink, told = remote(url)
            texts = ["line %d" % number for number in range(97)] + ['{"long":"%s"}' % ("x" * 6000)]
            for text in texts:
                sink.add(text, MOMENT)
            sink.close()
            assert (sink.dropped, told) == (0, [])
            expected += texts
        out = tmp_path / "out"
        wait_until(lambda: out.exists() and len(out.read_text().splitlines()) == len(expected), "all has been written")
        lines = out.read_text().splitlines()
    finally:
        server.terminate()
        server.wait(30)
    over_network = ["authpriv.err 2025-11-26T18:00:00.123456Z host ebpfless shadow " + text for text in expected[:3 * 98]]
    assert sorted(line for line in lines if "Z host" in line) == sorted(over_network)
    local = [line for line in lines if "Z host" not in line]
    assert all(line.startswith("authpriv.err ") and " ebpfless " in line for line in local)
    assert sorted(line.partition(" ebpfless - ")[2].strip() for line in local) == sorted(expected[3 * 98:])

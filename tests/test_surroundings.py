"""Where a tracer runs stands at its events: environment, pod, a task of ECS from a metadata service."""

import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from blackbox import Event, Session, environment, event_options, read_events, run_traced, trace_command, wait_until
from ebpfless_arch.agent import config
from ebpfless_arch.agent.surroundings import Surroundings
from probes import Probe

ARN = "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c"
CONTAINER: Dict[str, Any] = {"DockerId": "ea32192c8553fbff06c9340478a2ff089b2bb5646fb718b4ee206641c9086d66",
                             "Name": "curl",
                             "Image": "registry.local:5000/team/curltest:v3", "Labels": {"com.amazonaws.ecs.cluster": "default"}}
TASK: Dict[str, Any] = {"Cluster": "default", "TaskARN": ARN, "Family": "curltest", "Revision": "26", "LaunchType": "FARGATE",
        "Containers": [CONTAINER]}
PAGES = {"/v4/x": CONTAINER, "/v4/x/task": TASK}
TAGS = ["container_name:curl", "container_id:%s" % CONTAINER["DockerId"],
        "image_name:registry.local:5000/team/curltest", "image_tag:v3", "task_arn:" + ARN, "task_family:curltest",
        "task_version:26", "ecs_cluster_name:default"]


class Metadata:
    """ECS's task metadata endpoint of one container; it answers when `ready` is set."""

    def __init__(self) -> None:
        self.asked: List[str] = []
        self.ready = threading.Event()
        metadata = self

        class Request(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metadata.asked.append(self.path)
                metadata.ready.wait(30)
                found = PAGES.get(self.path)
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Request)
        self.url = "http://127.0.0.1:%d/v4/x" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    service = Metadata()
    yield service
    service.ready.set()
    service.server.shutdown()
    service.server.server_close()


# Does something again and again, until somebody has seen enough of it.
AGAIN = ["sh", "-c", "until [ -e $0 ]; do cat /etc/hostname >/dev/null; sleep 0.05; done; exit 7"]


def has_tags(event: Event) -> bool:
    return all(tag in event["tags"] for tag in TAGS)


def test_a_task_of_ecs_is_named_at_its_events(tmp_path: Path, metadata: Metadata) -> None:
    go, output = tmp_path / "go", str(tmp_path / "events")
    tracer = subprocess.Popen(trace_command(AGAIN + [str(go)], event_options(output)),
                              env=environment(ECS_CONTAINER_METADATA_URI_V4=metadata.url))
    wait_until(lambda: bool(read_events(output)) and bool(metadata.asked), "the command runs, and the service is asked")
    assert not any(map(has_tags, read_events(output))), "the command did not wait for it"
    metadata.ready.set()
    wait_until(lambda: has_tags(read_events(output)[-1]), "the tags are there")
    go.write_text("")
    assert tracer.wait(60) == 7 and metadata.asked == ["/v4/x", "/v4/x/task"]


def test_signals_reach_the_command_while_the_service_is_asked(metadata: Metadata) -> None:
    with Session(trace_command(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"]),
                 env=environment(ECS_CONTAINER_METADATA_URI_V4=metadata.url)) as trace:
        assert trace.line() == "ready"
        wait_until(lambda: bool(metadata.asked), "the service is asked")
        os.kill(trace.pid, signal.SIGTERM)
        assert trace.finish().status == 7


def test_a_probe_is_told_as_well(tmp_path: Path, metadata: Metadata) -> None:
    go = tmp_path / "go"
    variables = environment(ECS_CONTAINER_METADATA_URI_V4=metadata.url, DD_SERVICE="shop", DD_ENV="prod",
                            DD_VERSION="1.2", DD_HOSTNAME="box", POD_NAME="shop-7", POD_NAMESPACE="web")
    with Probe(tmp_path) as probe:
        tracer = subprocess.Popen(probe.tracer(AGAIN + [str(go)], "--wait-probe", "20"), env=variables)
        wait_until(lambda: bool(probe.events()), "the command runs")
        metadata.ready.set()
        wait_until(lambda: has_tags(probe.events()[-1]), "the tags are there")
        go.write_text("")
        assert tracer.wait(60) == 7
        assert probe.stop() == 0
    told = ["service:shop", "env:prod", "version:1.2", "host:box", "pod_name:shop-7", "kube_namespace:web"]
    assert all(tag in event["tags"] for event in probe.events() for tag in told)


def test_a_metadata_service_that_hangs_or_is_not_there_delays_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        url = "http://127.0.0.1:%d/v4" % silent.getsockname()[1]
        begin = time.monotonic()
        assert run_traced(["true"], env=environment(ECS_CONTAINER_METADATA_URI_V4=url)).status == 0
        assert time.monotonic() - begin < 4.5, "an answer is waited for, for 5 s"
    assert run_traced(["sh", "-c", "exit 7"], env=environment(ECS_CONTAINER_METADATA_URI_V4="nonsense")).status == 7


def around(**variables: str) -> Surroundings:
    return Surroundings(config.load("", {}, variables), variables)


def test_variables_become_tags() -> None:
    tags = around(DD_HOSTNAME="box", DD_SERVICE="s", DD_TAGS="a:b c:d,e", DD_CONTAINER_ID="c1", POD_UID="u").tags
    assert tags == ("host:box", "service:s", "container_id:c1", "pod_uid:u", "a:b", "c:d", "e")
    assert around(EBPFLESS_TRACE_SERVICE="mine", DD_SERVICE="theirs", DD_HOSTNAME="h").tags[1] == "service:mine"


@pytest.mark.parametrize("image, name, tag", [
    ("redis", "redis", "latest"), ("a.b:5000/redis", "a.b:5000/redis", "latest"), ("x/redis:7", "x/redis", "7"),
    ("x/redis:7@sha256:0123", "x/redis", "7"), ("x/redis@sha256:0123", "x/redis", "")])
def test_images_have_a_name_and_a_tag(monkeypatch: pytest.MonkeyPatch, image: str, name: str, tag: str) -> None:
    monkeypatch.setitem(CONTAINER, "Image", image)
    service = Metadata()
    service.ready.set()
    found = around(ECS_CONTAINER_METADATA_URI_V4=service.url)
    answered = threading.Event()
    found.ask(answered.set)
    assert answered.wait(30)
    assert [each for each in found.tags if each.startswith("image_")] == (
        ["image_name:" + name] + (["image_tag:" + tag] if tag else []))
    service.server.shutdown()
    service.server.server_close()

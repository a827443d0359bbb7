"""Where a tracer runs, as tags of all its events: host, service, container, pod, task.

All is known at once but for a task of AWS ECS, whose metadata service is asked in the background: a command never
waits for it, and starts without it.
"""

import os
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from ebpfless_arch.agent.config import Config
from ebpfless_arch.events.containers import container_of
from ebpfless_arch.events.model import WITHOUT_METADATA
from ebpfless_arch.kernel import procfs, signals

ECS_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
_SECONDS = 5.0
_ANSWER_AT_MOST = 1 << 20
_VALUE_AT_MOST = 512

# What a pod's manifest can hand to its containers (the downward API has no names of its own), and Datadog's names.
_KUBERNETES = (
    ("pod_name", ("POD_NAME", "DD_POD_NAME", "KUBERNETES_POD_NAME")),
    ("kube_namespace", ("POD_NAMESPACE", "DD_POD_NAMESPACE", "KUBERNETES_NAMESPACE")),
    ("pod_uid", ("POD_UID", "DD_POD_UID", "KUBERNETES_POD_UID")),
    ("kube_node", ("NODE_NAME", "DD_KUBERNETES_KUBELET_NODENAME", "KUBERNETES_NODE_NAME")),
)
# Keys of the metadata of a container and of its task (ECS task metadata endpoint, version 4).
_ECS_CONTAINER = (("container_name", "Name"), ("container_id", "DockerId"))
_ECS_TASK = (("task_arn", "TaskARN"), ("task_family", "Family"), ("task_version", "Revision"),
             ("ecs_cluster_name", "Cluster"), ("availability_zone", "AvailabilityZone"), ("launch_type", "LaunchType"))
# name[:tag][@digest]; a colon before a slash belongs to a registry's port.
_IMAGE = re.compile(r"(?P<name>[^@]*?)(?::(?P<tag>[^:/@]+))?(?:@.*)?\Z")
_MOUNTED = re.compile(r"containers/([0-9a-f]{64})/")
_MOUNTS_AT_MOST = 1 << 20


class Surroundings:
    """`tags` are those that are known by now, as key:value; `container` is the id of ours, "" for none."""

    def __init__(self, config: Config, environment: Mapping[str, str] = os.environ) -> None:
        self.container = (config["trace.container_id"] or container_of(procfs.read(os.getpid(), "cgroup", 8192))
                          or container_of_mounts(procfs.read(os.getpid(), "mountinfo", _MOUNTS_AT_MOST)))
        self._known = dict(_known(config, environment, self.container))
        self._further = list(_words(config["trace.tags"]))
        self._url = environment.get(ECS_VARIABLE, "")
        self.tags = self._all()

    def _all(self) -> Tuple[str, ...]:
        known = ["%s:%s" % (key, value[:_VALUE_AT_MOST]) for key, value in self._known.items() if value]
        return tuple(known + [word for word in self._further if word not in known])

    def ask(self, on_more: Callable[[], None]) -> None:
        """Look for what takes longer, if there is anything."""
        if self._url:
            import threading

            signals.start_without(threading.Thread(target=self._ask, args=(on_more,), daemon=True).start)

    def _ask(self, on_more: Callable[[], None]) -> None:
        try:
            found = _ecs_tags(self._url)
        except (OSError, ValueError):
            return  # nobody's problem: the tags are missing
        if self.container:
            found.pop("container_id", None)
        self._known.update(found)
        self.tags = self._all()
        on_more()


def container_of_mounts(text: bytes) -> str:
    """The container id in what an engine has mounted over /etc/hostname, "" where it tells none.

    Docker's file is .../containers/ID/hostname, Podman's and CRI-O's .../overlay-containers/ID/userdata/hostname; what
    containerd mounts there belongs to the sandbox, which is another id. See proc(5), mountinfo, fields 4 and 5.
    """
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split(" ")
        found = _MOUNTED.search(words[3]) if len(words) > 4 and words[4] == "/etc/hostname" else None
        if found:
            return found.group(1)
    return ""


def _known(config: Config, environment: Mapping[str, str], container: str) -> Iterator[Tuple[str, str]]:
    yield "host", config["trace.hostname"] or os.uname().nodename
    for key in ("service", "env", "version"):
        yield key, config["trace." + key] or ""
    yield "container_id", container
    if config["trace.disable_stats"]:
        yield WITHOUT_METADATA
    for key, names in _KUBERNETES:
        yield key, next((environment[name] for name in names if environment.get(name)), "")


def _words(words: List[str]) -> Iterator[str]:
    """Datadog's variable may separate its tags by blanks."""
    for word in words:
        for tag in word.split():
            yield tag[:_VALUE_AT_MOST]


def _ecs_tags(url: str) -> Dict[str, str]:
    """Raises OSError and ValueError."""
    container = _get(url)
    found = _picked(container, _ECS_CONTAINER)
    image = _IMAGE.match(str(container.get("Image") or ""))
    if image is not None and image.group("name"):
        found["image_name"] = image.group("name")
        found["image_tag"] = image.group("tag") or ("" if "@" in image.string else "latest")
    try:
        found.update(_picked(_get(url + "/task"), _ECS_TASK))
    except (OSError, ValueError):
        labels = container.get("Labels")
        found.update(_picked(labels if isinstance(labels, dict) else {}, (
            ("task_arn", "com.amazonaws.ecs.task-arn"), ("task_family", "com.amazonaws.ecs.task-definition-family"),
            ("task_version", "com.amazonaws.ecs.task-definition-version"),
            ("ecs_cluster_name", "com.amazonaws.ecs.cluster"))))
    return found


def _picked(told: Dict[str, Any], names: Tuple[Tuple[str, str], ...]) -> Dict[str, str]:
    return {key: str(told[name]) for key, name in names if told.get(name)}


def _get(url: str) -> Dict[str, Any]:
    """A JSON object; raises OSError and ValueError."""
    import http.client
    import json
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "http":
        raise ValueError("not http: %s" % url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""))
        answer = connection.getresponse()
        found = json.loads(answer.read(_ANSWER_AT_MOST).decode("utf-8", "replace"))
    except http.client.HTTPException as error:
        raise ValueError(str(error))
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(found, dict):
        raise ValueError("status %d" % answer.status)
    return found

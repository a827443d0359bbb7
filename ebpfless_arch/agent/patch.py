"""`ebpfless patch`: rewrites what describes a container (JSON) so that its command runs below `ebpfless trace`.

Each kind of description is a table row: where its containers are, and how entry point, arguments, capabilities and the
copy of ebpfless are spelled in it. What is wrapped already stays as it is, so patching twice changes nothing.
"""

import json
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ebpfless_arch.agent.options import PatchOptions, UsageError
from ebpfless_arch.agent.printing import emit, takes_any_letter
from ebpfless_arch.named import NamedTuple

Container = Dict[str, Any]
Document = Dict[str, Any]

VOLUME = "ebpfless"
FOLDER = "/ebpfless"
"""Name and place of the volume into which --from has its image copied."""

_PORTABLE = [FOLDER + "/lib/ld.so", "--library-path", FOLDER + "/lib", FOLDER + "/bin/python3", "-I"]
"""What starts the Python in the folder that scripts/portable makes: its linker, for the image may have another one or none."""

_CAPABILITY = "SYS_PTRACE"
_COPY = ["python3", "-c", """import os, shutil
for one in os.scandir('%s'):
    place = '/copy/' + one.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(one.path, place, symlinks=True) if one.is_dir() else shutil.copy(one.path, place)
""" % FOLDER]
"""What is in the folder, not the folder itself: a volume is somebody else's where a pod does not run as root, so its mode cannot
be set. The container may be started more than once."""

_COPY_MEBIBYTES = 128
_TRACERS = ("ebpfless", "ebpfless.py", "cws-instrumentation")


def patch(options: PatchOptions) -> int:
    """Print the patched description; returns the exit status. Raises UsageError."""
    kind = _KINDS.get(options.kind)
    if kind is None:
        raise UsageError("'%s' is nothing that can be patched; say one of %s" % (options.kind, ", ".join(sorted(_KINDS))))
    document = _read(options.file)
    places = list(kind.places(document))
    if not places:
        raise UsageError("%s: there is no container in it; %s is expected" % (options.file, kind.expected))
    containers = [container for place in places for container in kind.containers(place)]
    _choose(options, kind, [container for container in containers if _is_chosen(options, container)], containers)
    for place in places:
        chosen = [container for container in kind.containers(place) if _is_chosen(options, container)]
        wrapped = [container for container in chosen if _wrap(options, kind, container)]
        if wrapped and options.image:
            kind.bring(options, place, wrapped)
    emit(json.dumps(document, indent=2, ensure_ascii=not takes_any_letter()) + "\n")
    return 0


def usage(operands: List[str]) -> str:
    """What to say to whoever has not named one kind and one file."""
    kind = operands[0] if operands and operands[0] in _KINDS else "ecs"
    return "say what and which file: 'ebpfless patch %s %s'" % (kind, _KINDS[kind].example)


def _read(path: str) -> Any:
    """The JSON of a file, or of standard input for "-"."""
    try:
        with open(0 if path == "-" else path, encoding="utf-8-sig", closefd=path != "-") as file:
            return json.load(file)
    except OSError as error:
        raise UsageError("%s: cannot be read: %s" % (path, error.strerror))
    except UnicodeDecodeError as error:
        raise UsageError("%s: not UTF-8 at byte %d" % (path, error.start))
    except json.JSONDecodeError as error:
        raise UsageError("%s:%d:%d: not JSON: %s (YAML has to be turned into JSON first: kubectl ... -o json)"
                         % (path, error.lineno, error.colno, error.msg))
    except RecursionError:
        raise UsageError("%s: the JSON is nested too deeply" % path)


def _choose(options: PatchOptions, kind: "Kind", chosen: List[Container], containers: List[Container]) -> None:
    """Complain of names that no container has, and of an entry point that several would get."""
    known = [_name(container) for container in containers]
    for name in options.containers:
        if name not in known:
            raise UsageError("there is no container '%s'; there is %s" % (name, ", ".join(filter(None, known)) or "one without a name"))
    silent = [_name(container) for container in chosen if not _words(container, kind.entry)]
    if options.entrypoint and len(silent) > 1:
        raise UsageError("--entrypoint would be that of %s: choose one by --container" % ", ".join(silent))


def _name(container: Container) -> str:
    return str(container.get("name", ""))


def _called(container: Container) -> str:
    return "container '%s'" % _name(container) if _name(container) else "the container"


def _is_chosen(options: PatchOptions, container: Container) -> bool:
    return _name(container) in options.containers if options.containers else _name(container) != VOLUME


# One container

def _wrap(options: PatchOptions, kind: "Kind", container: Container) -> bool:
    """Let a container's command run below ours; False where it does already."""
    entry, arguments = (_words(container, key) for key in (kind.entry, kind.arguments))
    ours = (options.python or (_PORTABLE if options.image else ["python3"])) + [options.place, "trace"]
    if entry[:len(ours)] == ours or _is_wrapped(entry + arguments):
        return False
    if not entry and kind.entry != kind.arguments:
        entry = _entry_of_image(options, container, kind, arguments)
    container[kind.entry] = ours + options.trace_options + ["--"] + entry
    if options.capability:
        kind.grant(container)
    return True


def _words(container: Container, key: str) -> List[str]:
    words = container.get(key)
    if words is None:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError("%s of %s must be a list of texts" % (key, _called(container)))
    return words


def _is_wrapped(words: List[str]) -> bool:
    """Whether a command begins with one of these tracers, perhaps after an interpreter and its options."""
    if "trace" not in words[:len(_PORTABLE) + 2]:
        return False
    return any(word.rpartition("/")[2] in _TRACERS for word in words[:words.index("trace")])


def _entry_of_image(options: PatchOptions, container: Container, kind: "Kind", arguments: List[str]) -> List[str]:
    """What the image itself would start: a description of the image names it, that of a container need not."""
    if options.entrypoint:
        return options.entrypoint
    if kind.is_image and arguments:
        return []
    if kind.is_image:
        raise UsageError("there is neither %s nor %s, so nothing would be started: say what with --entrypoint"
                         % (kind.entry, kind.arguments))
    raise UsageError("%s names no %s, so its image's own would be lost: say it with --entrypoint (the image's "
                     "ENTRYPOINT%s; docker inspect shows them)"
                     % (_called(container), kind.entry, "" if arguments else " and CMD"))


def _add(container: Container, path: Tuple[str, ...], value: Any) -> None:
    """Add an element to a list deep in a description, and make what is missing on the way; once is enough."""
    for key in path[:-1]:
        container = _filled(container, key, {})
    listed = _filled(container, path[-1], [])
    if value not in listed:
        listed.append(value)


def _add_named(place: Document, key: str, container: Container) -> None:
    """Add a container unless there is one of its name already."""
    if container["name"] not in [one.get("name") for one in _objects(place, key)]:
        _filled(place, key, []).append(container)


def _filled(container: Container, key: str, empty: Any) -> Any:
    """What is under a key, or `empty` put there where there is nothing or null."""
    if container.get(key) is None:
        container[key] = empty
    if not isinstance(container[key], type(empty)):
        raise UsageError("'%s' must be %s" % (key, "a list" if empty == [] else "an object"))
    return container[key]


def _objects(document: Any, key: str) -> List[Container]:
    """The objects of a list, which may be missing."""
    listed = document.get(key) if isinstance(document, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


# Amazon ECS

def _ecs_places(document: Any) -> Iterator[Document]:
    inner = document.get("taskDefinition", document) if isinstance(document, dict) else {}
    if _objects(inner, "containerDefinitions"):
        yield inner


def _ecs_bring(options: PatchOptions, place: Document, chosen: List[Container]) -> None:
    """A container that copies and ends before the others start (dependsOn)."""
    _add(place, ("volumes",), {"name": VOLUME})
    for container in chosen:
        _add(container, ("mountPoints",), {"sourceVolume": VOLUME, "containerPath": FOLDER, "readOnly": True})
        _add(container, ("dependsOn",), {"containerName": VOLUME, "condition": "SUCCESS"})
    copying: Container = {
        "name": VOLUME, "image": options.image, "essential": False, "entryPoint": _COPY, "command": [],
        "mountPoints": [{"sourceVolume": VOLUME, "containerPath": "/copy", "readOnly": False}]}
    if not place.get("memory"):
        # Of a task without a limit (on EC2) each container has to say what it takes.
        copying["memoryReservation"] = _COPY_MEBIBYTES
    _add_named(place, "containerDefinitions", copying)


# Kubernetes

def _k8s_places(document: Any) -> Iterator[Document]:
    """The pod specs of an object, of what it is a template for, and of the items of a List."""
    for item in _objects(document, "items"):
        for found in _k8s_places(item):
            yield found
    while isinstance(document, dict):
        if _objects(document, "containers"):
            yield document
            return
        # Deployment, DaemonSet, StatefulSet, Job: spec.template.spec; CronJob: spec.jobTemplate.spec.template.spec
        document = next((document[key] for key in ("spec", "jobTemplate", "template") if key in document), None)


def _k8s_bring(options: PatchOptions, place: Document, chosen: List[Container]) -> None:
    """An init container that copies."""
    _add(place, ("volumes",), {"name": VOLUME, "emptyDir": {}})
    for container in chosen:
        _add(container, ("volumeMounts",), {"name": VOLUME, "mountPath": FOLDER, "readOnly": True})
    _add_named(place, "initContainers", {
        "name": VOLUME, "image": options.image, "command": _COPY,
        "volumeMounts": [{"name": VOLUME, "mountPath": "/copy"}]})


# Docker and OCI

def _docker_places(document: Any) -> Iterator[Document]:
    """What `docker inspect` prints (a list), an image's configuration, or the body of a request to create a container."""
    for one in document if isinstance(document, list) else [document]:
        inner = next((one[key] for key in ("Config", "config") if isinstance(one.get(key), dict)), one) if isinstance(one, dict) else {}
        if "Entrypoint" in inner or "Cmd" in inner:
            yield inner


def _docker_grant(container: Container) -> None:
    """An image cannot ask for capabilities, a request to create a container can."""
    if "HostConfig" in container:
        _add(container, ("HostConfig", "CapAdd"), _CAPABILITY)


def _oci_places(document: Any) -> Iterator[Document]:
    """The process of a bundle's config.json."""
    if isinstance(document, dict) and isinstance(document.get("process"), dict) and document["process"].get("args"):
        yield document["process"]


def _oci_grant(container: Container) -> None:
    for name in ("bounding", "effective", "permitted"):
        _add(container, ("capabilities", name), "CAP_" + _CAPABILITY)


def _bring_nothing(options: PatchOptions, place: Document, chosen: List[Container]) -> None:
    raise UsageError("--from is for ecs and k8s; an image takes the file by COPY --from=%s" % options.image)


class Kind(NamedTuple):
    """A kind of description. `is_image`: a container without an entry point has none, so its arguments are the command."""

    example: str
    expected: str
    places: Callable[[Any], Iterator[Document]]
    containers: Callable[[Document], List[Container]]
    entry: str
    arguments: str
    grant: Callable[[Container], None]
    bring: Callable[[PatchOptions, Document, List[Container]], None]
    is_image: bool = False


_KINDS: Dict[str, Kind] = {
    "ecs": Kind(
        "task-definition.json", "a task definition with containerDefinitions", _ecs_places, lambda place: _objects(place, "containerDefinitions"),
        "entryPoint", "command", lambda container: _add(container, ("linuxParameters", "capabilities", "add"), _CAPABILITY),
        _ecs_bring),
    "k8s": Kind(
        "pod.json", "a pod, or what makes pods, with containers", _k8s_places, lambda place: _objects(place, "containers"),
        "command", "args", lambda container: _add(container, ("securityContext", "capabilities", "add"), _CAPABILITY),
        _k8s_bring),
    "docker": Kind(
        "image.json", "what docker inspect prints for an image, or an image's configuration, with Entrypoint or Cmd", _docker_places,
        lambda place: [place], "Entrypoint", "Cmd", _docker_grant, _bring_nothing, is_image=True),
    "oci": Kind(
        "config.json", "a bundle's config.json with process.args", _oci_places, lambda place: [place], "args", "args", _oci_grant, _bring_nothing),
}

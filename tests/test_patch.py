"""`ebpfless patch`: descriptions of containers whose command runs below trace afterwards."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import oci
import ordinary
from blackbox import REPOSITORY, ebpfless, environment, run

WRAPPER = ["python3", "/ebpfless.py", "trace", "--"]
ADDED = {"capabilities": {"add": ["SYS_PTRACE"]}}

# Of the folder that scripts/portable makes.
PORTABLE = ["/ebpfless/lib/ld.so", "--library-path", "/ebpfless/lib", "/ebpfless/bin/python3", "-I", "/ebpfless/ebpfless.py"]

COPYING = ["python3", "-c", """import os, shutil
for one in os.scandir('/ebpfless'):
    place = '/copy/' + one.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(one.path, place, symlinks=True) if one.is_dir() else shutil.copy(one.path, place)
"""]


def patched(kind: str, document: object, *options: str) -> Any:
    """What comes out of it; patching that once more must change nothing."""
    result = run(ebpfless("patch", *options, kind, "-"), json.dumps(document).encode())
    assert (result.status, result.stderr) == (0, b"")
    again = run(ebpfless("patch", *options, kind, "-"), result.stdout)
    assert again == result
    return json.loads(result.stdout.decode())


def pod(*containers: Dict[str, Any]) -> Dict[str, Any]:
    return {"containers": list(containers), "restartPolicy": "Always"}


APP: Dict[str, Any] = {"name": "app", "image": "app:1", "command": ["/app"], "args": ["--port", "80"]}
WRAPPED_APP = dict(APP, command=WRAPPER + ["/app"], securityContext=ADDED)


def test_a_task_definition_of_ecs() -> None:
    task = {"family": "web", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "containerDefinitions": [
        {"name": "app", "image": "app:1", "essential": True, "entryPoint": ["/app", "x y"], "command": ["ü"],
         "linuxParameters": {"initProcessEnabled": True}},
        {"name": "log", "image": "log:1", "entryPoint": ["/log"]}]}
    app, log = task["containerDefinitions"]
    assert isinstance(app, dict) and isinstance(log, dict)
    expected = dict(task, containerDefinitions=[
        dict(app, entryPoint=WRAPPER + ["/app", "x y"], linuxParameters=dict(ADDED, initProcessEnabled=True)), log])
    assert patched("ecs", task, "--container", "app") == expected
    # As `aws ecs describe-task-definition` prints it.
    assert patched("ecs", {"taskDefinition": task, "tags": []}, "--container", "app") == {"taskDefinition": expected, "tags": []}


def test_ecs_containers_that_take_their_copy_from_an_image() -> None:
    task = {"memory": "512", "containerDefinitions": [{"name": "app", "image": "app:1", "command": ["serve"]}]}
    assert patched("ecs", task, "--from", "me/ebpfless:1", "--entrypoint", "/docker-entrypoint.sh", "--no-capability") == {
        "memory": "512", "containerDefinitions": [
            {"name": "app", "image": "app:1", "command": ["serve"],
             "entryPoint": PORTABLE + ["trace", "--", "/docker-entrypoint.sh"],
             "mountPoints": [{"sourceVolume": "ebpfless", "containerPath": "/ebpfless", "readOnly": True}],
             "dependsOn": [{"containerName": "ebpfless", "condition": "SUCCESS"}]},
            {"name": "ebpfless", "image": "me/ebpfless:1", "essential": False, "entryPoint": COPYING, "command": [],
             "mountPoints": [{"sourceVolume": "ebpfless", "containerPath": "/copy", "readOnly": False}]}],
        "volumes": [{"name": "ebpfless"}]}


def test_a_container_that_copies_says_what_memory_it_takes_where_the_task_does_not() -> None:
    task = {"containerDefinitions": [{"name": "app", "image": "app:1", "memory": 256, "entryPoint": ["/app"]}]}
    found = patched("ecs", task, "--from", "me/ebpfless:1")["containerDefinitions"]
    assert [one.get("memoryReservation") for one in found] == [None, 128]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.root
def test_what_is_copied_arrives_in_a_volume_of_somebody_else_also_twice(folder: Path) -> None:
    """A pod that does not run as root, whose init container is started once more."""
    python = ordinary.interpreter()
    if python is None:
        pytest.skip("needs a Python that everybody may run")
    source, volume = folder / "from", folder / "to"
    (source / "lib").mkdir(parents=True)
    (source / "lib" / "x.so.1").write_text("library")
    (source / "lib" / "x.so").symlink_to("x.so.1")
    (source / "ebpfless.py").write_text("program")
    (source / "ebpfless.py").chmod(0o755)
    volume.mkdir()
    volume.chmod(0o777)
    code = COPYING[2].replace("'/ebpfless'", repr(str(source))).replace("'/copy/'", repr("%s/" % volume))
    for _ in range(2):
        result = run([python, "-c", code], preexec_fn=ordinary.become_nobody, cwd="/")
        assert result[:3] == (0, b"", b"")
    assert (volume / "lib" / "x.so").read_text() == "library" and os.readlink(str(volume / "lib" / "x.so")) == "x.so.1"
    assert (volume / "ebpfless.py").stat().st_mode & 0o777 == 0o755 and len(list(volume.rglob("*"))) == 4


@pytest.mark.parametrize("nest", [
    lambda spec: {"kind": "Pod", "spec": spec},
    lambda spec: {"kind": "Deployment", "spec": {"replicas": 2, "template": {"metadata": {}, "spec": spec}}},
    lambda spec: {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}},
    lambda spec: {"kind": "List", "items": [{"kind": "Service", "spec": {"ports": []}}, {"kind": "Pod", "spec": spec}]},
], ids=["Pod", "Deployment", "CronJob", "List"])
def test_whatever_makes_pods_in_kubernetes(nest: Any) -> None:
    assert patched("k8s", nest(pod(APP))) == nest(pod(WRAPPED_APP))


def test_a_pod_that_takes_its_copy_from_an_image() -> None:
    second = {"name": "second", "command": ["/second"]}
    found = patched("k8s", pod(APP, second), "--from", "me/ebpfless:1", "--python", "/ebpfless/my python/bin/python3")
    mounts = {"name": "ebpfless", "mountPath": "/ebpfless", "readOnly": True}
    assert [one["command"] for one in found["containers"]] == [
        ["/ebpfless/my python/bin/python3", "/ebpfless/ebpfless.py", "trace", "--", program] for program in ("/app", "/second")]
    assert all(one["volumeMounts"] == [mounts] for one in found["containers"])
    assert found["volumes"] == [{"name": "ebpfless", "emptyDir": {}}]
    assert found["initContainers"] == [{"name": "ebpfless", "image": "me/ebpfless:1", "command": COPYING,
                                        "volumeMounts": [{"name": "ebpfless", "mountPath": "/copy"}]}]


@pytest.mark.parametrize("image, expected", [
    ({"Entrypoint": ["/start"], "Cmd": ["a"]}, {"Entrypoint": WRAPPER + ["/start"], "Cmd": ["a"]}),
    ({"Entrypoint": None, "Cmd": ["sh", "-c", "exec app"]}, {"Entrypoint": WRAPPER, "Cmd": ["sh", "-c", "exec app"]}),
    ({"Cmd": ["app"], "Env": ["A=b"]}, {"Entrypoint": WRAPPER, "Cmd": ["app"], "Env": ["A=b"]}),
], ids=["both", "null", "arguments only"])
def test_an_image_s_configuration(image: Dict[str, Any], expected: Dict[str, Any]) -> None:
    assert patched("docker", [{"Id": "x", "Config": image}]) == [{"Id": "x", "Config": expected}]
    assert patched("docker", {"architecture": "amd64", "config": image}) == {"architecture": "amd64", "config": expected}
    request = dict(image, HostConfig={"CapAdd": ["NET_ADMIN"]})
    assert patched("docker", request) == dict(expected, HostConfig={"CapAdd": ["NET_ADMIN", "SYS_PTRACE"]})


def test_options_for_trace_stand_before_the_command() -> None:
    found = patched("docker", {"Cmd": ["app"]}, "--options", "--probe-addr 'a b:1' --events", "--file", "/opt/e.py")
    assert found["Entrypoint"] == ["python3", "/opt/e.py", "trace", "--probe-addr", "a b:1", "--events", "--"]


def test_letters_survive_a_terminal_that_does_not_know_them() -> None:
    """As in cron jobs and small containers: a locale that knows ASCII only, on either side."""
    plain = environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    result = run(ebpfless("patch", "docker", "-"), '{"Cmd": ["\u00fc", "\u4e2d"]}'.encode(), env=plain)
    assert (result.status, result.stderr) == (0, b"")
    assert json.loads(result.stdout.decode("ascii")) == {"Entrypoint": WRAPPER, "Cmd": ["\u00fc", "\u4e2d"]}


@pytest.mark.parametrize("wrapped", [
    ["/ebpfless.py", "trace", "--"], ["python3", "-m", "ebpfless", "trace", "--events", "--"], ["/usr/bin/ebpfless", "trace"],
    ["/cws-instrumentation", "trace", "--"], PORTABLE + ["trace", "--"]])
def test_what_is_wrapped_stays_as_it_is(wrapped: List[str]) -> None:
    image = {"Entrypoint": wrapped, "Cmd": ["app"]}
    assert patched("docker", image) == image


@pytest.mark.parametrize("words, document, complaint", [
    (["ecs"], {"containerDefinitions": []}, "-: there is no container in it; a task definition with containerDefinitions is expected"),
    (["k8s"], [1], "-: there is no container in it; a pod, or what makes pods, with containers is expected"),
    (["k8s"], pod({"name": "a", "command": "sh"}), "command of container 'a' must be a list of texts"),
    (["k8s"], pod(dict(APP, securityContext=[])), "'securityContext' must be an object"),
    (["--container", "ap", "k8s"], pod(APP, {"name": "b"}), "there is no container 'ap'; there is app, b"),
    (["k8s"], pod({"name": "a", "args": ["x"]}), "container 'a' names no command, so its image's own would be lost: say it with "
     "--entrypoint (the image's ENTRYPOINT; docker inspect shows them)"),
    (["--entrypoint", "/x", "k8s"], pod({"name": "a"}, {"name": "b"}), "--entrypoint would be that of a, b: choose one by "
     "--container"),
    (["docker"], {"Entrypoint": None, "Cmd": None}, "there is neither Entrypoint nor Cmd, so nothing would be started: say what with "
     "--entrypoint"),
    (["docker"], {"Entrypoint": "/start", "Cmd": None}, "Entrypoint of the container must be a list of texts"),
    (["--from", "i", "docker"], {"Cmd": ["x"]}, "--from is for ecs and k8s; an image takes the file by COPY --from=i"),
    (["rkt"], {}, "'rkt' is nothing that can be patched; say one of docker, ecs, k8s, oci"),
])
def test_what_cannot_be_patched_is_one_line(words: List[str], document: object, complaint: str) -> None:
    result = run(ebpfless("patch", *words, "-"), json.dumps(document).encode())
    assert result[:3] == (2, b"", ("ebpfless patch: %s\n" % complaint).encode())


def test_files_that_are_none(tmp_path: Path) -> None:
    yaml = tmp_path / "pod.yaml"
    yaml.write_text("apiVersion: v1\n")
    assert run(ebpfless("patch", "k8s", str(yaml))).stderr.decode() == (
        "ebpfless patch: %s:1:1: not JSON: Expecting value (YAML has to be turned into JSON first: kubectl ... -o json)\n" % yaml)
    assert run(ebpfless("patch", "k8s", "/no/file")).stderr == (
        b"ebpfless patch: /no/file: cannot be read: No such file or directory\n")
    assert run(ebpfless("patch", "k8s")).status == 2


def test_the_words_that_start_a_python_may_be_several() -> None:
    found = patched("k8s", pod(APP), "--python", '["/opt/ld.so", "/opt/python3", "-I"]', "--file", "/opt/e.py")
    assert found["containers"][0]["command"] == ["/opt/ld.so", "/opt/python3", "-I", "/opt/e.py", "trace", "--", "/app"]


@pytest.mark.root
@pytest.mark.slow
def test_what_is_patched_for_a_pod_runs_in_an_image_without_python(tmp_path: Path) -> None:
    """Nothing is there but the folder that the pod's first container has copied, and a static program."""
    oci.needed()
    root = oci.busybox_root(tmp_path / "root")
    made, copied = tmp_path / "made", root / "ebpfless"
    start = json.loads(subprocess.check_output([sys.executable, str(REPOSITORY / "scripts" / "portable"), str(made)]).decode())
    assert start == PORTABLE
    copied.mkdir()
    code = COPYING[2].replace("'/ebpfless'", repr(str(made))).replace("'/copy/'", repr("%s/" % copied))
    subprocess.check_call([sys.executable, "-c", code])
    app = {"name": "app", "image": "app", "command": ["/bin/busybox", "cat", "/etc/shadow"]}
    found = patched("k8s", pod(app), "--from", "build", "--options", "--probe-addr none")
    result = oci.run(root, found["containers"][0]["command"])
    assert (result.status, result.stdout) == (0, b"root:*:19000:0:99999:7:::\n")
    assert b"credential_file_read" in result.stderr


@pytest.mark.root
def test_a_patched_bundle_runs_its_command_below_trace(tmp_path: Path) -> None:
    """The same words in the same places, and runc runs them."""
    oci.needed()
    root = oci.python_root(tmp_path / "root")
    identifier = "ef" * 32
    spec = oci.Spec([oci.PYTHON, "-c", "open('/etc/shadow').read(); raise SystemExit(7)"],
                    binds={str(REPOSITORY): "/app"})
    document = oci.configuration(root, identifier, spec)
    found = patched("oci", document, "--file", "/app/ebpfless.py", "--options", "--probe-addr none")
    assert found["process"]["capabilities"]["bounding"][-1] == "CAP_SYS_PTRACE"
    (tmp_path / "config.json").write_text(json.dumps(found))
    state = str(tmp_path / "state")
    try:
        result = run(["runc", "--root", state, "run", "--bundle", str(tmp_path), identifier])
    finally:
        subprocess.call(["runc", "--root", state, "delete", "--force", identifier], stderr=subprocess.DEVNULL)
        oci.remove_cgroups()
    assert result.status == 7
    assert b"credential_file_read" in result.stderr and b"container=efefefefefef" in result.stderr

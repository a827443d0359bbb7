"""The recipes for containers in the README, tried as they stand there."""

import json
import marshal
import shutil
import subprocess
import sys
import re
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

import docker
import oci
from blackbox import REPOSITORY, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVICE = """
FROM python:3
CMD ["python3", "-c", "import time\\nwhile True: open('/etc/shadow').close(); time.sleep(0.05)"]
"""


def recipes() -> List[str]:
    """The indented blocks of the README's section on containers, in order."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    section = text.partition("\n## In containers\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [re.sub(r"(?m)^    ", "", block) for block in blocks]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[docker.Engine]:
    """Builds and runs; the context is a checkout in which scripts/bundle has been run."""
    oci.needed()
    context = tmp_path / "context"
    for name in ("ebpfless_arch", "scripts"):
        shutil.copytree(str(REPOSITORY / name), str(context / name), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(str(REPOSITORY / "ebpfless.py"), str(context))
    subprocess.check_call([sys.executable, str(context / "scripts" / "bundle")], stdout=subprocess.DEVNULL)
    with docker.Engine(tmp_path, context, {"python:3": oci.python_root, "no-python": oci.busybox_root}) as found:
        yield found


def block(beginning: str, number: int = 0) -> str:
    """The recipe that begins so, or the next one after it."""
    found = recipes()
    place = next(place for place, text in enumerate(found) if text.startswith(beginning))
    return found[place + number]


def dockerfiles() -> Dict[str, str]:
    """Each Dockerfile by the name of its image."""
    found = [text for text in recipes() if text.startswith("FROM ")]
    assert len(found) == 3
    return dict(zip(("app", "static", "ebpfless"), found))


def detected(container: oci.Container, status: int = 0) -> None:
    """Waits for the end of a container that is wrapped and reads what the built-in rules watch."""
    result = container.wait()
    assert result.status == status and b"credential_file_read" in result.stderr, result


@pytest.mark.parametrize("further", ["", "--read-only ", "--user 65532 ", "--read-only --user 65532 "])
def test_a_wrapped_application(engine: docker.Engine, further: str) -> None:
    engine.build("app", dockerfiles()["app"])
    line = block("docker run --cap-add SYS_PTRACE app").strip()
    container = engine.run(line.replace("docker run ", "docker run " + further))
    if further.endswith("65532 "):
        result = container.wait()
        assert result.status == 1 and b"PermissionError" in result.stderr
    else:
        detected(container)


def test_an_image_keeps_compiled_code_that_its_starts_use(engine: docker.Engine) -> None:
    """In a file system that is read-only nothing else can be kept, so all that a start loads has to be there."""
    engine.build("app", dockerfiles()["app"])
    # Beside it lies what Python itself keeps of a module.
    (kept,) = [path for path in (engine.root("app") / "__pycache__").iterdir() if path.is_dir()]
    parts = {path.relative_to(str(REPOSITORY)).with_suffix("").as_posix().replace("/", ".").replace(".__init__", "")
             for path in (REPOSITORY / "ebpfless_arch").rglob("*.py")}
    assert {path.name for path in kept.iterdir()} == parts
    used = kept / "ebpfless_arch.agent.local"
    stamp = used.read_bytes().partition(b"\n")[0] + b"\n"
    used.write_bytes(stamp + marshal.dumps(compile("raise SystemExit(77)", "kept", "exec")))
    assert engine.run("docker run --read-only --cap-add SYS_PTRACE app").wait()[:2] == (77, b"")


def test_an_image_without_python(engine: docker.Engine) -> None:
    engine.build("static", dockerfiles()["static"])
    container = engine.run(block("docker run --cap-add SYS_PTRACE static").strip())
    detected(container)
    assert container.output() == b"root:*:19000:0:99999:7:::\n"


def test_a_side_car(engine: docker.Engine) -> None:
    engine.build("service", SERVICE)
    engine.build("ebpfless", dockerfiles()["ebpfless"])
    first, second = block("docker run --name service service").splitlines()
    service = engine.run(first)
    assert service.pid
    tracer = engine.run(second)
    tracer.wait_for(b"credential_file_read")
    tracer.signal("TERM")
    assert tracer.wait().status == 0
    assert service.process.poll() is None


def test_doctor_in_a_container(engine: docker.Engine) -> None:
    engine.build("ebpfless", dockerfiles()["ebpfless"])
    result = engine.run("docker run ebpfless doctor").wait()
    assert result.status == 1 and b"Wrap mode works here, with the limits above." in result.stdout


@pytest.mark.parametrize("network", ["host", "watch"])
def test_a_probe(engine: docker.Engine, network: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of thirty-two letters..\n")
    secret.chmod(0o600)
    for name, text in dockerfiles().items():
        if name != "static":
            engine.build(name, text)
    first, second = block("docker run --network %s " % network).splitlines()
    probe = engine.run(first, {"./secret": str(secret)})
    probe.wait_for(b"listens on")
    # The tracer works alone until the probe answers, and this command is short.
    tracer = engine.run(second.replace(" -- ", " --wait-probe 30 -- ") if " -- " in second
                        else second.replace("docker run ", "docker run -e EBPFLESS_TRACE_WAIT_PROBE=30 "),
                        {"./secret": str(secret)})
    assert tracer.wait()[:3] == (0, b"", b"")
    wait_until(lambda: b"credential_file_read" in probe.errors(), "the probe tells of it")
    assert ("container=%s" % tracer.id[:12]).encode() in probe.errors()
    probe.signal("TERM")
    assert probe.wait().status == 0


def test_descriptions_are_patched_by_the_commands_that_the_readme_gives(tmp_path: Path) -> None:
    lines = block("ebpfless patch").splitlines()
    assert len(lines) == 3
    (tmp_path / "task-definition.json").write_text(json.dumps(
        {"containerDefinitions": [{"name": "app", "entryPoint": ["/app"]}, {"name": "log"}]}))
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app"}]}}}}
    image = [{"Config": {"Entrypoint": ["/app"], "Cmd": None}}]
    # In the place of kubectl, docker and of the command itself.
    functions = ("ebpfless() { '%s' '%s/ebpfless.py' \"$@\"; }; kubectl() { case $1 in get) echo '%s' ;; *) cat ;; esac; }; "
                 "docker() { echo '%s'; }\n" % (sys.executable, REPOSITORY, json.dumps(deployment), json.dumps(image)))
    printed = []
    for line in lines:
        done = subprocess.run(["bash", "-c", functions + line], cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, b""), line
        printed.append(done.stdout.decode())
    wrapped = json.loads((tmp_path / "wrapped.json").read_text())["containerDefinitions"]
    assert wrapped[0]["entryPoint"] == ["python3", "/ebpfless.py", "trace", "--", "/app"] and wrapped[1] == {"name": "log"}
    spec = json.loads(printed[1])["spec"]["template"]["spec"]
    assert spec["containers"][0]["command"][-3:] == ["trace", "--", "/app"] and spec["initContainers"][0]["image"] == "IMAGE"
    assert json.loads(printed[2])[0]["Config"]["Entrypoint"][-1] == "/app"

"""Programs whose file grants an identity: below a privileged tracer they keep it; else that they lose it is told."""

import os
import shutil
import struct
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from blackbox import Compiler, Result, ebpfless, execs_of, named, read_events, run, run_traced, trace_command
from ordinary import NOBODY, become_nobody, copy_for_all, interpreter, run_as_nobody

pytestmark = pytest.mark.root

AS_NOBODY = ["--uid", str(NOBODY), "--gid", str(NOBODY)]
CAPABILITY = "security.capability"
BIND_SERVICE = 1 << 10
# struct vfs_cap_data, revision 2, effective (linux/capability.h)
GRANTS_BIND_SERVICE = struct.pack("<5I", 0x02000001, BIND_SERVICE, 0, 0, 0)

CREDENTIALS = ["/bin/grep", "-E", "^(Uid|Gid|Cap(Eff|Prm)|NoNewPrivs):", "/proc/self/status"]
GRANTS = {
    "setuid": "set-user-ID 0",
    "setgid": "set-group-ID 0",
    "setuid-hidden": "set-user-ID 0",
    "capability": "capabilities 0x400",
}
MODES = {"setuid": 0o4755, "setgid": 0o2755, "setuid-hidden": 0o4711, "capability": 0o755}


def grant(kind: str, source: str, folder: Path) -> str:
    """A copy of a program whose file grants something to whoever runs it."""
    program = folder / kind
    shutil.copy(source, str(program))
    program.chmod(MODES[kind])
    if kind == "capability":
        os.setxattr(str(program), CAPABILITY, GRANTS_BIND_SERVICE)
    return str(program)


def native_credentials(kind: str, folder: Path) -> Result:
    """What a copy of grep with such a grant tells of itself, run by nobody."""
    result = run([grant(kind, CREDENTIALS[0], folder)] + CREDENTIALS[1:], preexec_fn=become_nobody)
    assert result.status == 0
    return result


@pytest.fixture
def setuid_program(compile_c: Compiler, public_dir: Path) -> str:
    """identity.c as a setuid-root program that everybody may run."""
    program = grant("setuid", compile_c("identity.c"), public_dir)
    native = run([program], preexec_fn=become_nobody)
    if native.stdout.split()[2] != b"0":
        pytest.skip("set-user-id has no effect on this file system")
    return program


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_a_setuid_program_keeps_its_power(options: List[str], setuid_program: str) -> None:
    native = run([setuid_program], preexec_fn=become_nobody)
    traced = run_traced([setuid_program], AS_NOBODY + options)
    assert traced._replace(events=[]) == native
    (event,) = execs_of(traced.events, setuid_program)
    credentials = event["process"]["credentials"]
    assert (credentials["uid"], credentials["euid"], event["process"]["uid"]) == (NOBODY, 0, NOBODY)
    assert not named(traced.events, "blind_spot")


def test_a_setuid_program_deeper_in_the_tree_keeps_its_power(setuid_program: str) -> None:
    command = ["sh", "-c", '"$1" && grep NoNewPrivs /proc/self/status', "sh", setuid_program]
    native = run(command, preexec_fn=become_nobody)
    assert run(trace_command(command, AS_NOBODY)) == native


@pytest.mark.parametrize("kind", sorted(GRANTS))
def test_what_a_file_grants_is_granted_below_root(kind: str, public_dir: Path) -> None:
    native = native_credentials(kind, public_dir)
    plain = run(CREDENTIALS, preexec_fn=become_nobody)
    assert native.stdout != plain.stdout
    assert run(trace_command([str(public_dir / kind)] + CREDENTIALS[1:], AS_NOBODY)) == native


# --- without privileges ---------------------------------------------------------

@pytest.fixture
def python(public_dir: Path) -> str:
    """An interpreter for everybody, and ebpfless where everybody may read it."""
    found: Optional[str] = interpreter()
    if found is None:
        pytest.skip("no interpreter that other users may run")
        return ""
    copy_for_all(public_dir)
    return found


def test_an_ordinary_user_can_trace(compile_c: Compiler, public_dir: Path, python: str) -> None:
    program = public_dir / "identity"
    shutil.copy(compile_c("identity.c"), str(program))
    identity = "uid {0} {0} {0} gid {0} {0} {0} groups 0\n".format(NOBODY).encode()
    assert run_as_nobody(python, public_dir, [str(program)])[:3] == (0, identity, b"")


def without_grant(text: bytes) -> Dict[bytes, bytes]:
    """The lines of credentials by name, without NoNewPrivs, which the filter of an ordinary user needs."""
    return {line.split(b":")[0]: line for line in text.splitlines() if not line.startswith(b"NoNewPrivs")}


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
@pytest.mark.parametrize("kind", sorted(GRANTS))
def test_what_an_ordinary_tracer_costs_is_told_once(kind: str, options: List[str], public_dir: Path,
                                                    python: str) -> None:
    native_credentials(kind, public_dir)
    program = str(public_dir / kind)
    command = ["sh", "-c", '"$@" && exec "$@"', "sh", program] + CREDENTIALS[1:]
    result = run_as_nobody(python, public_dir, command, options)
    plain = run(CREDENTIALS, preexec_fn=become_nobody).stdout
    half = len(result.stdout) // 2
    assert result.stdout[:half] == result.stdout[half:]
    assert (result.status, without_grant(result.stdout[:half])) == (0, without_grant(plain))
    lines = result.stderr.decode().splitlines()
    (line,) = [line for line in lines if "its memory cannot be read" not in line]
    assert (len(lines) > 1) == (kind == "setuid-hidden")  # what may not be read may not be looked into while it runs
    expected = "neutralised: {} of {}; ".format(GRANTS[kind], program)
    assert "BLIND" in line and expected in line and "CAP_SYS_PTRACE and CAP_SYS_ADMIN" in line


def test_what_happens_to_a_setuid_program_is_what_doctor_says(setuid_program: str, public_dir: Path, python: str) -> None:
    def said(command: List[str], **options: Any) -> str:
        report = run(command, **options).stdout.decode().splitlines()
        return next(line for line in report if " setuid programs " in line)

    below_root = run(trace_command([setuid_program], AS_NOBODY + ["--output", "/dev/null"]))
    assert "keep their privileges below trace" in said(ebpfless("doctor"))
    assert below_root.stdout.split()[2] == b"0"
    as_nobody = said([python, "-m", "ebpfless", "doctor"], preexec_fn=become_nobody, cwd="/",
                     env=dict(os.environ, PYTHONPATH=str(public_dir)))
    assert "run without their privileges below trace" in as_nobody
    result = run_as_nobody(python, public_dir, [setuid_program], ["--output", "/dev/null"])
    assert result.stdout.split()[2] == str(NOBODY).encode()


def test_people_read_what_a_program_goes_without(setuid_program: str, public_dir: Path, python: str) -> None:
    result = run_as_nobody(python, public_dir, [setuid_program])
    name = os.path.basename(setuid_program)[:15]
    assert "  {}[".format(name) in result.stderr.decode()
    assert "] is neutralised: set-user-ID 0 of {}; the kernel grants".format(setuid_program) in result.stderr.decode()


def test_where_nothing_is_granted_nothing_is_told(public_dir: Path, python: str) -> None:
    """A file that is set-user-ID for one's own id; a script, for which the kernel ignores it; our own NO_NEW_PRIVS."""
    own = grant("setuid", CREDENTIALS[0], public_dir)
    os.chown(own, NOBODY, NOBODY)
    os.chmod(own, 0o4755)
    script = public_dir / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o4755)
    command = ["sh", "-c", '"$1" --version >/dev/null && "$2"', "sh", own, str(script)]
    assert run_as_nobody(python, public_dir, command)[:3] == (0, b"", b"")


def test_no_new_privileges_of_the_caller_are_no_cost_of_ours(public_dir: Path, python: str) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv (util-linux)")
    program = grant("setuid", CREDENTIALS[0], public_dir)
    command = [setpriv, "--no-new-privs", python] + trace_command([program, "--version"])[1:]
    result = run(command, preexec_fn=become_nobody, cwd="/", env=dict(os.environ, PYTHONPATH=str(public_dir)))
    assert (result.status, result.stderr) == (0, b"")


def test_the_report_is_an_event(public_dir: Path, python: str) -> None:
    program = grant("setuid", CREDENTIALS[0], public_dir)
    output = public_dir / "events"
    output.write_text("")
    output.chmod(0o666)
    run_as_nobody(python, public_dir, [program, "--version"], ["--format", "json", "--output", str(output)])
    (event,) = read_events(str(output))
    assert event["evt"]["name"] == "blind_spot"
    assert event["evt"]["variables"]["reason"].startswith("neutralised: set-user-ID 0 of " + program)
    assert event["process"]["executable"]["path"] == program


# --- --uid and --gid -------------------------------------------------------------

PASSWD = "root:x:0:0::/root:/bin/sh\nesme:x:61007:61007::/:/bin/sh\n"
GROUP = "root:x:0:\nesme:x:61007:\nwitches:x:61009:magrat,esme\nwizards:x:61013:ridcully\ncats:x:61031:esme\n"
SHOWN = ["grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"]


@pytest.mark.skipif(not (shutil.which("setpriv") and shutil.which("unshare")), reason="needs setpriv and unshare")
@pytest.mark.parametrize("uid,gid,native", [
    (61007, 61007, ["--init-groups"]), (61007, 61013, ["--groups", "61009,61013,61031"]), (61043, 61013, ["--groups", "61013"])])
def test_a_user_who_is_known_has_its_groups(uid: int, gid: int, native: List[str], tmp_path: Path) -> None:
    for name, content in ("passwd", PASSWD), ("group", GROUP):
        (tmp_path / name).write_text(content)
    script = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"'
    elsewhere = ["unshare", "--mount", "sh", "-c", script, str(tmp_path)]
    expected = run(elsewhere + ["setpriv", "--reuid", str(uid), "--regid", str(gid)] + native + ["--"] + SHOWN)
    if expected.status != 0:
        pytest.skip("mounting is not permitted here")
    found = run(elsewhere + trace_command(SHOWN, ["--uid", str(uid), "--gid", str(gid)]))
    assert found[:3] == expected[:3]
    assert (b"61009" in found.stdout and b"61031" in found.stdout) == (uid == 61007)


def test_a_known_user_keeps_none_of_root_s_groups(tmp_path: Path) -> None:
    found = run(trace_command(SHOWN, ["--uid", str(NOBODY)]), preexec_fn=lambda: os.setgroups([0, 61013]))
    assert found.status == 0 and b"61013" not in found.stdout

"""What Datadog's tracer does badly to the program that it traces, as observed (cws-instrumentation, November 2025, Linux 6.18),
and the tests that show what ours does instead."""

import re
from pathlib import Path
from typing import List

import pytest

HERE = Path(__file__).parent

# What theirs does, and which tests hold ours to the contrary.
YARDSTICK = {
    "a killed tracer: every filtered call of the program fails with ENOSYS for ever": [
        "test_standby.py::test_the_one_that_stands_by_takes_over", "test_killed_tracers.py::test_a_loop_that_opens",
        "test_killed_tracers.py::test_pgbench", "test_killed_tracers.py::test_redis_benchmark",
        "test_killed_tracers.py::test_make"],
    "a killed tracer in attach mode: the program goes on, unseen": [
        "test_trace_attach.py::test_a_program_outlives_its_tracer_which_is_replaced"],
    "children that outlive the main process get ENOSYS": [
        "test_trace_engine.py::test_a_daemon_outlives_the_command_and_is_not_harmed",
        "test_trace_recovery.py::test_a_daemon_s_tracer_is_replaced_as_well"],
    "of the signals six are passed on": [
        "test_trace_family.py::test_every_signal_from_outside_arrives_as_it_was_sent",
        "test_trace_signals.py::test_a_signal_to_ebpfless_reaches_the_command_once"],
    "a signal that kills the program: status 255": [
        "test_trace_signals.py::test_a_deadly_signal_to_ebpfless_ends_the_command_and_is_the_status",
        "test_trace_unchanged.py::test_death_by_a_signal_is_repeated"],
    "a signal that the program ignores: the tracer stays": [
        "test_trace_signals.py::test_a_signal_that_the_command_ignores_ends_nothing"],
    "SIGTERM in attach mode kills the tracer": ["test_trace_attach.py::test_what_ends_it"],
    "exit status: 255 for a missing command": ["test_trace_cli.py::test_a_missing_command"],
    "no exit message of the main process": ["test_trace_engine.py::test_exits_tell_how_a_process_ended"],
    "SIGSTOP, SIGTSTP and SIGTTIN never stop a program, and its parent sees nothing": [
        "test_trace_signals.py::test_stopped_children_are_reported_and_really_stop",
        "test_trace_signals.py::test_the_command_itself_stops_and_continues",
        "test_trace_jobs.py::test_ctrl_z_jobs_bg_kill_and_wait", "test_trace_attach.py::test_a_stopped_program_stays_stopped"],
    "calls by int 0x80 work, unseen; x32 is answered with ENOSYS by its filter": [
        "test_trace_abi.py::test_calls_of_the_i386_abi_in_a_64_bit_program",
        "test_trace_abi.py::test_unusual_call_numbers_behave_as_without_tracing"],
    "setuid programs always lose their power below it, silently": [
        "test_trace_privileges.py::test_a_setuid_program_keeps_its_power",
        "test_trace_privileges.py::test_what_an_ordinary_tracer_costs_is_told_once",
        "test_trace_privileges.py::test_what_happens_to_a_setuid_program_is_what_doctor_says"],
    "without a probe the program does not start, or freezes": ["test_probe.py::test_without_a_probe_nobody_notices"],
    "of an attached program's threads one is seen": [
        "test_trace_attach.py::test_every_thread_is_seen_and_left_as_it_was"],
    "memory grows with a probe that does not read": ["test_trace_inherit.py::test_resident_memory_of_the_tracer",
                                                     "test_pipe.py::test_a_full_pipe_never_blocks_and_loss_is_counted"],
    "paths are resolved in the tracer's root and mount namespace": [
        "test_trace_files.py::test_a_path_in_another_root", "test_trace_files.py::test_a_path_in_another_mount_namespace"],
    "a mode is told of an open that creates nothing": [
        "test_trace_files.py::test_what_stands_in_the_place_of_a_mode_is_none_without_a_creation"],
    "sockets are known by thread: accept and connect elsewhere are not seen": [
        "test_trace_sockets.py::test_threads_and_workers_accept_and_connect_on_sockets_that_others_made"],
    "scripts and programs without a path are told as /proc/PID/fd/N": [
        "test_trace_files.py::test_a_script_and_its_interpreter", "test_trace_files.py::test_a_program_without_a_path"],
    "debuggers do not work inside": ["test_debuggers.py::test_strace_runs_a_program", "test_debuggers.py::test_gdb_runs_a_program"],
}


@pytest.mark.parametrize("line", sorted(YARDSTICK))
def test_each_line_has_its_tests(line: str) -> None:
    missing: List[str] = []
    for name in YARDSTICK[line]:
        file, _, test = name.partition("::")
        text = (HERE / file).read_text() if (HERE / file).exists() else ""
        if not re.search(r"^def {}\(".format(test), text, re.M):
            missing.append(name)
    assert missing == []

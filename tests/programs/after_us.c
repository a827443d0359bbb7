/* after_us DEED PID: does something to a process, and prints the errno, and how often a signal came.
 *
 *   attach PID    traces it, by PTRACE_ATTACH       seize PID   by PTRACE_SEIZE
 *   write PID     writes its memory                 limit PID   sets a limit of it
 *   take PID      takes its descriptor 0            traceme PID is traced by its parent; PID does not matter
 *   confine PID   to the CPUs it has                schedule, parameter, attributes, nice, ionice PID  how it is scheduled
 *   group PID     nice for the process group of PID
 *   orphan PID    the same, after its parent has ended
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void catch(int number)
{
    (void)number;
    caught++;
}

static long be_traced(void)
{
    long first = ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    printf("%d ", first ? errno : 0);
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

/* Leaves its parent, which then ends. */
static void lose_parent(void)
{
    pid_t parent = getpid();
    if (fork() > 0)
        _exit(0);
    while (getppid() == parent)
        usleep(1000);
}

static long reach(const char *deed, pid_t pid)
{
    static char byte;
    static unsigned long words[128];
    struct iovec ours = {&byte, 1}, theirs = {(void *)4096, 1};
    struct rlimit limit = {67, 67};
    if (!strcmp(deed, "attach"))
        return ptrace(PTRACE_ATTACH, pid, NULL, NULL);
    if (!strcmp(deed, "seize"))
        return ptrace(PTRACE_SEIZE, pid, NULL, NULL);
    if (!strcmp(deed, "write"))
        return process_vm_writev(pid, &ours, 1, &theirs, 1, 0);
    if (!strcmp(deed, "limit"))
        return prlimit(pid, RLIMIT_NOFILE, &limit, NULL);
    if (!strcmp(deed, "take"))
        return syscall(438, (int)syscall(434, pid, 0), 0, 0);
    if (!strcmp(deed, "confine")) {
        long size = syscall(SYS_sched_getaffinity, pid, sizeof(words), words);
        return syscall(SYS_sched_setaffinity, pid, size < 0 ? 8 : size, words);
    }
    if (!strcmp(deed, "schedule"))
        return syscall(SYS_sched_setscheduler, pid, 0, words);
    if (!strcmp(deed, "parameter"))
        return syscall(SYS_sched_setparam, pid, words);
    if (!strcmp(deed, "attributes"))
        return syscall(SYS_sched_setattr, pid, words, 0);
    if (!strcmp(deed, "nice"))
        return setpriority(PRIO_PROCESS, pid, 7);
    if (!strcmp(deed, "group"))
        return setpriority(PRIO_PGRP, getpgid(pid), 7);
    if (!strcmp(deed, "ionice"))
        return syscall(SYS_ioprio_set, 1, pid, 3 << 13);
    if (!strcmp(deed, "orphan"))
        lose_parent();
    return be_traced();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    signal(SIGUSR1, catch);
    long result = reach(argv[1], atoi(argv[2]));
    printf("%d", result < 0 ? errno : 0);
    raise(SIGUSR1);
    printf(" %d\n", (int)caught);
    return 0;
}

/* blind WHAT...: does what a tracer cannot see, or not wholly, each some times. Prints "<what> <result>" for each call.
 * x32, number, other-number: calls by numbers that nobody knows; uring, bad-uring, enter: io_uring; listener: a filter
 * with a listener; memory: a name in memory that only the process itself can read; undumpable FILE: opens as a process
 * that nobody may look into; untraced, fixed, shared: clones with CLONE_UNTRACED; again WHAT...: the rest as a new program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "legacy.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

enum { X32_BIT = 0x40000000, IO_URING_SETUP = 425, IO_URING_ENTER = 426, TIMES = 3 };

static uint32_t ring[30];

static void say(const char *what, long result)
{
    printf("%s %ld\n", what, result < 0 ? -(long)errno : result);
    fflush(stdout);
}

static long set_listener(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { 1, &allow };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* The kernel's data for clock_gettime, mapped in such a way that no other process can read it. */
static char *hidden_memory(void)
{
    char line[512];
    unsigned long start;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[vvar]") && sscanf(line, "%lx", &start) == 1)
            return (char *)start;
    return NULL;
}

static long make_untraced(void)
{
    int status;
    long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(7);
    return child > 0 && waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

/* The kernel only reads these, so they may lie in memory that nobody may write. */
static const struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, rest[3]; } fixed = {
    .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD };

/* The same in a file that is shared and read only, where not even a tracer can write. */
static const void *shared_arguments(void)
{
    char path[64];
    int file = syscall(SYS_memfd_create, "arguments", 0);
    if (write(file, &fixed, sizeof fixed) != sizeof fixed)
        return NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return mmap(NULL, sizeof fixed, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0);
}

static long make_untraced_by(const void *arguments)
{
    int status;
    long child = syscall(SYS_clone3, arguments, sizeof fixed);
    if (child == 0)
        _exit(open("/etc/hostname", O_RDONLY) < 0 ? 1 : 7);
    return child > 0 && waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

static void repeat(const char *what, const char *file)
{
    for (int time = 0; time < TIMES; time++) {
        memset(ring, 0, sizeof ring);
        if (!strcmp(what, "x32"))
            say(what, syscall(X32_BIT | SYS_open, file, O_RDONLY));
        else if (!strcmp(what, "number"))
            say(what, syscall(500));
        else if (!strcmp(what, "other-number"))
            say(what, syscall(10001));
        else if (!strcmp(what, "uring"))
            say(what, syscall(IO_URING_SETUP, 4, ring));
        else if (!strcmp(what, "bad-uring"))
            say(what, syscall(IO_URING_SETUP, 0, ring));
        else if (!strcmp(what, "enter"))
            say(what, syscall(IO_URING_ENTER, -1, 1, 0, 0, NULL, 0));
        else if (!strcmp(what, "memory"))
            say(what, prctl(PR_SET_NAME, hidden_memory(), 0, 0, 0));
        else if (!strcmp(what, "untraced"))
            say(what, make_untraced());
        else if (!strcmp(what, "fixed"))
            say(what, make_untraced_by(&fixed));
        else if (!strcmp(what, "shared"))
            say(what, make_untraced_by(shared_arguments()));
        else if (!strcmp(what, "undumpable")) {
            prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
            say(what, close(open(file, O_RDONLY)));
        }
    }
    if (!strcmp(what, "listener"))
        say(what, set_listener());
}

int main(int argc, char **argv)
{
    for (int place = 1; place < argc; place++) {
        if (!strcmp(argv[place], "again")) {
            argv[place] = argv[0];
            execv(argv[0], argv + place);
        }
        repeat(argv[place], "/etc/hostname");
    }
    return 0;
}

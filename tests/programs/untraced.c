/* untraced DIRECTORY: makes children with CLONE_UNTRACED by clone and by clone3, with and without CLONE_VFORK;
 * each opens a file of its own. Prints "<how> <error>": what the open gave. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

struct clone3_arguments { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; };

static long by_clone(uint64_t flags)
{
    return syscall(SYS_clone, (long)(flags | SIGCHLD), 0L, 0L, 0L, 0L);
}

static long by_clone3(uint64_t flags)
{
    struct clone3_arguments arguments = { .flags = flags, .exit_signal = SIGCHLD };
    long result = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (result > 0 && arguments.flags != flags)
        printf("the flags of clone3 changed to %#llx\n", (unsigned long long)arguments.flags);
    return result;
}

static void try_child(const char *directory, const char *name, long (*make)(uint64_t), uint64_t flags)
{
    char path[4096];
    int status;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    fflush(stdout);
    long child = make(flags);
    if (child == 0)
        _exit(open(path, O_RDONLY) < 0 ? errno : 0);
    if (child < 0)
        printf("%s not made %d\n", name, errno);
    else if (waitpid(child, &status, 0) == child)
        printf("%s %d\n", name, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    try_child(argv[1], "clone", by_clone, CLONE_UNTRACED);
    try_child(argv[1], "clone-vfork", by_clone, CLONE_UNTRACED | CLONE_VFORK);
    try_child(argv[1], "clone3", by_clone3, CLONE_UNTRACED);
    try_child(argv[1], "clone3-vfork", by_clone3, CLONE_UNTRACED | CLONE_VFORK);
    return 0;
}

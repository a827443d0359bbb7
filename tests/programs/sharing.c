/* sharing: what an open that was decided at its entry can be upset by, and no other program here does: children that share
 * memory, or the place where names are looked up, with their parent, or have mounts of their own, and an asynchronous context;
 * each also so that it fails. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[65536] __attribute__((aligned(16)));

static int end(void *unused)
{
    (void)unused;
    _exit(0);
}

int main(void)
{
    static const int flags[] = { CLONE_VM, CLONE_FS, CLONE_FS | CLONE_FILES, CLONE_NEWNS };
    unsigned long context = 0;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        int child = clone(end, stack + sizeof stack, flags[i] | SIGCHLD, 0);
        if (child < 0 || waitpid(child, 0, 0) != child)
            return 1;
    }
    /* A child cannot share its root and have another mount namespace at the same time. */
    if (clone(end, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_NEWNS | SIGCHLD, 0) >= 0)
        return 2;
    if (unshare(CLONE_NEWNS | CLONE_PARENT) == 0)
        return 3;
    return syscall(SYS_io_setup, 1L, &context) != 0 || syscall(SYS_io_setup, 0L, &context) == 0;
}

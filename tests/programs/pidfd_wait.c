/* pidfd_wait ROUNDS: waits for children as event loops do: a pidfd tells that a child has ended, then a call that does
 * not block has to find it. Prints how often it did, by waitid on the pidfd, by waitid and by wait4 on the pid. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define BY_PIDFD 3

static int by_waitid(idtype_t type, id_t id)
{
    siginfo_t info = { 0 };
    return waitid(type, id, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0 && info.si_status == 7;
}

static int by_wait4(pid_t pid)
{
    struct rusage usage;
    int status;
    return wait4(pid, &status, WNOHANG, &usage) == pid && WEXITSTATUS(status) == 7;
}

static int is_found(int way, int pidfd, pid_t pid)
{
    return way == 0 ? by_waitid((idtype_t)BY_PIDFD, pidfd) : way == 1 ? by_waitid(P_PID, pid) : by_wait4(pid);
}

static int try_once(int way)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };
    if (pidfd < 0 || poll(&ended, 1, -1) != 1)
        exit(9);
    int found = is_found(way, pidfd, pid);
    close(pidfd);
    if (!found)
        waitpid(pid, NULL, 0);
    return found;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1, found[3] = { 0, 0, 0 };
    for (int i = 0; i < rounds; i++)
        for (int way = 0; way < 3; way++)
            found[way] += try_once(way);
    printf("pidfd %d waitid %d wait4 %d\n", found[0], found[1], found[2]);
    return 0;
}

/* numbers PATH: prints what calls with numbers of the x32 ABI, unknown and negative numbers give. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "legacy.h"

enum { X32 = 0x40000000 };

static void report(const char *what, long result)
{
    printf("%s %ld\n", what, result < 0 ? (long)-errno : 0L);
    if (result > 2)
        close(result);
}

int main(int argc, char **argv)
{
    char *nothing[] = { NULL };
    if (argc != 2)
        return 2;
    report("x32 open", syscall(X32 | SYS_open, argv[1], O_RDONLY, 0));
    report("x32 openat", syscall(X32 | SYS_openat, AT_FDCWD, argv[1], O_RDONLY, 0));
    report("x32 creat", syscall(X32 | SYS_creat, argv[1], 0600));
    report("x32 getuid", syscall(X32 | SYS_getuid) < 0 ? -1 : 0);
    report("x32 execve", syscall(X32 | 520, "/nonexistent/program", nothing, nothing));
    report("x32 number of execve", syscall(X32 | SYS_execve, "/nonexistent/program", nothing, nothing));
    report("unknown", syscall(9999, argv[1]));
    report("number -1", syscall(-1, argv[1]));
    report("number -2", syscall(-2, argv[1]));
    report("open", syscall(SYS_open, argv[1], O_RDONLY, 0));
    return 0;
}

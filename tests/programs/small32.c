/* small32 DIRECTORY PROGRAM: built with -m32; opens files, forks, and its child becomes PROGRAM. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "legacy.h"

static void report(const char *what, int fd)
{
    printf("%s %d\n", what, fd < 0 ? -errno : 0);
    if (fd >= 0)
        close(fd);
}

static const char *path_of(const char *directory, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

int main(int argc, char **argv)
{
    int status;
    if (argc != 3 || sizeof(void *) != 4)
        return 2;
    report("open", syscall(SYS_open, path_of(argv[1], "open"), O_RDONLY));
    report("libc", open(path_of(argv[1], "libc"), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    report("creat", syscall(SYS_creat, path_of(argv[1], "creat"), 0640));
    report("missing", open(path_of(argv[1], "missing"), O_RDONLY));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(argv[2], "small", "from-32-bit", (char *)NULL);
        _exit(9);
    }
    if (waitpid(child, &status, 0) != child)
        return 3;
    printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 4;
}

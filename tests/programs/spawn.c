/* spawn PROGRAM: runs PROGRAM by vfork + exec, by posix_spawn and by fork + execveat; prints "<how> <pid> <status>". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void finish(const char *how, pid_t child)
{
    int status;
    if (child <= 0 || waitpid(child, &status, 0) != child)
        printf("%s failed\n", how);
    else
        printf("%s %d %d\n", how, child, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static pid_t by_vfork(char *program)
{
    char *arguments[] = { program, "by-vfork", NULL };
    pid_t child = vfork();
    if (child == 0) {
        execve(program, arguments, environ);
        _exit(99);
    }
    return child;
}

static pid_t by_spawn(char *program)
{
    char *arguments[] = { program, "by-posix_spawn", NULL };
    pid_t child = -1;
    return posix_spawn(&child, program, NULL, NULL, arguments, environ) ? -1 : child;
}

static pid_t by_execveat(char *program)
{
    char *arguments[] = { program, "by-execveat", NULL };
    pid_t child = fork();
    if (child == 0) {
        syscall(SYS_execveat, AT_FDCWD, program, arguments, environ, 0);
        _exit(99);
    }
    return child;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    finish("vfork", by_vfork(argv[1]));
    finish("posix_spawn", by_spawn(argv[1]));
    finish("execveat", by_execveat(argv[1]));
    return 0;
}

/* actor ACTION ...: does one thing under whatever name it was copied to; anything else is no action and succeeds.
 *   @run PROGRAM ARG...          runs a program in a child
 *   @as-root PROGRAM ARG...      ... with the real user 65534 and the effective user 0
 *   @terminal PROGRAM ARG...     ... in a child with a terminal of its own
 *   @memory NAME PROGRAM ARG...  ... from a copy that exists in memory only
 *   @deleted PROGRAM ARG...      ... after removing its file
 *   @named NAME PROGRAM ARG...   ... under another argument 0
 *   @nameless PROGRAM            ... without any argument, not even 0
 *   @read FILE, @append FILE, @empty FILE, @create FILE    opens a file
 *   @crash                       dies by SIGSEGV and leaves a core dump
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

static int in_child(char **command)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int opened(const char *path, int flags)
{
    return open(path, flags, 0644) < 0;
}

static int from_memory(const char *name, char **command)
{
    int source = open(command[0], O_RDONLY), copy = memfd_create(name, MFD_CLOEXEC);
    while (sendfile(copy, source, NULL, 1 << 20) > 0) { }
    fexecve(copy, command, environ);
    return 127;
}

static int deleted(char **command)
{
    int program = open(command[0], O_RDONLY | O_CLOEXEC);
    unlink(command[0]);
    fexecve(program, command, environ);
    return 127;
}

static int named(char **command)
{
    const char *program = command[1];
    command[1] = command[0];
    return execv(program, command + 1);
}

static int in_terminal(char **command)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    pid_t child;
    if (master < 0 || grantpt(master) || unlockpt(master))
        return 1;
    child = fork();
    if (child == 0) {
        setsid();
        ioctl(open(ptsname(master), O_RDWR), TIOCSCTTY, 0);
        execv(command[0], command);
        _exit(127);
    }
    return waitpid(child, NULL, 0) < 0;
}

static int crash(void)
{
    struct rlimit size = { RLIM_INFINITY, RLIM_INFINITY };
    setrlimit(RLIMIT_CORE, &size);
    return raise(SIGSEGV);
}

int main(int argc, char **argv)
{
    char *nothing[] = { NULL };
    const char *action = argc > 1 ? argv[1] : "";
    if (!strcmp(action, "@crash"))
        return crash();
    if (argc < 3)
        return 0;
    if (!strcmp(action, "@run"))
        return in_child(argv + 2);
    if (!strcmp(action, "@read"))
        return opened(argv[2], O_RDONLY);
    if (!strcmp(action, "@append"))
        return opened(argv[2], O_WRONLY | O_APPEND);
    if (!strcmp(action, "@create"))
        return opened(argv[2], O_WRONLY | O_CREAT);
    if (!strcmp(action, "@empty"))
        return opened(argv[2], O_WRONLY | O_TRUNC);
    if (!strcmp(action, "@deleted"))
        return deleted(argv + 2);
    if (!strcmp(action, "@terminal"))
        return in_terminal(argv + 2);
    if (!strcmp(action, "@nameless"))
        return execv(argv[2], nothing);
    if (!strcmp(action, "@as-root"))
        return setresuid(65534, 0, 0) || execv(argv[2], argv + 2);
    if (!strcmp(action, "@memory") && argc > 3)
        return from_memory(argv[2], argv + 3);
    if (!strcmp(action, "@named") && argc > 3)
        return named(argv + 2);
    return 0;
}

/* What scripts/bench lets run: loops of one kind of call, and a clock.

   loops time FILE COMMAND [ARG...]    runs COMMAND and writes the time that it took into FILE, in ns
   loops open TIMES PATH               opens and closes a file
   loops call TIMES                    a call that nobody traces
   loops write TIMES                   writes 64 bytes into /dev/null
   loops exec TIMES PROGRAM            starts a program and waits for it
   loops live PROCESSES TIMES PATH     so many processes at once, which together open and close so many times
   loops spawn PROCESSES TIMES PROGRAM so many processes at once, which together start a program so many times

   The exit status is 0, or 1 when a call fails. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int await(pid_t child)
{
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static pid_t start(char **command)
{
    pid_t child = fork();
    if (!child) {
        execvp(*command, command);
        _exit(127);
    }
    return child;
}

static int take_time(const char *name, char **command)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    int result = await(start(command));
    clock_gettime(CLOCK_MONOTONIC, &after);
    FILE *file = fopen(name, "w");
    if (!file)
        return 1;
    fprintf(file, "%lld\n", (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec);
    return fclose(file) || result;
}

static int open_often(long times, const char *path)
{
    while (times-- > 0) {
        int file = open(path, O_RDONLY);
        if (file < 0 || close(file))
            return 1;
    }
    return 0;
}

static int call_often(long times)
{
    while (times-- > 0)
        syscall(SYS_getppid);
    return 0;
}

static int write_often(long times)
{
    char data[64] = "";
    int file = open("/dev/null", O_WRONLY);
    while (times-- > 0)
        if (write(file, data, sizeof data) != sizeof data)
            return 1;
    return 0;
}

static int exec_often(long times, char **command)
{
    while (times-- > 0)
        if (await(start(command)))
            return 1;
    return 0;
}

/* All are there before the first begins: they wait for the end of a pipe. */
static int live(long processes, long times, const char *path, char **command)
{
    int gate[2], result = 0;
    char byte;
    pid_t *children = calloc(processes, sizeof *children);
    if (!children || pipe(gate))
        return 1;
    for (long at = 0; at < processes; at++) {
        children[at] = fork();
        if (!children[at]) {
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) != 0 || (command ? exec_often(times / processes, command)
                                                           : open_often(times / processes, path)));
        }
    }
    close(gate[1]);
    for (long at = 0; at < processes; at++)
        result |= await(children[at]);
    return result;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (!strcmp(what, "time") && argc > 3)
        return take_time(argv[2], argv + 3);
    if (!strcmp(what, "open") && argc > 3)
        return open_often(atol(argv[2]), argv[3]);
    if (!strcmp(what, "call"))
        return call_often(atol(argv[2]));
    if (!strcmp(what, "write"))
        return write_often(atol(argv[2]));
    if (!strcmp(what, "exec") && argc > 3)
        return exec_often(atol(argv[2]), argv + 3);
    if (!strcmp(what, "live") && argc > 4)
        return live(atol(argv[2]), atol(argv[3]), argv[4], NULL);
    if (!strcmp(what, "spawn") && argc > 4)
        return live(atol(argv[2]), atol(argv[3]), NULL, argv + 4);
    fprintf(stderr, "usage: loops time|open|call|write|exec|live|spawn ...\n");
    return 2;
}

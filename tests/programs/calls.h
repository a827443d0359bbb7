/* What the programs that do system calls have in common: each does the parts named in its arguments, opens mark/PART
   before a part begins, and prints the result of every call that is shown. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "legacy.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define NOBODY 65534
#define NO_PID 0x3fffffff

static long show(const char *name, long result) {
    if (result == -1) result = -errno;
    printf("%s %ld\n", name, result);
    fflush(stdout);
    return result;
}
#define CALL(name, ...) show(#name, syscall(SYS_##name, __VA_ARGS__))

static int file(const char *name) {
    int fd = open(name, O_RDWR | O_CREAT, 0640);
    if (fd < 0) { perror(name); exit(9); }
    return fd;
}

static int here(void) { return open(".", O_RDONLY | O_DIRECTORY); }

/* A child does it and ends, or is killed; its end is awaited. */
static void in_child(void (*act)(void)) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        act();
        _exit(0);
    }
    waitpid(child, &status, 0);
}

struct part {
    const char *name;
    void (*act)(void);
};

static int do_parts(const struct part *table, size_t rows, int count, char **names) {
    char mark[64];
    for (int at = 1; at < count; at++) {
        snprintf(mark, sizeof mark, "mark/%s", names[at]);
        open(mark, O_RDONLY);
        printf("- %s\n", names[at]);
        for (size_t row = 0; row < rows; row++)
            if (!strcmp(table[row].name, names[at])) table[row].act();
    }
    return 0;
}

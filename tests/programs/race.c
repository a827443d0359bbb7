/* race DIRECTORY open|openat2|exec COUNT: names DIRECTORY/a to the kernel COUNT times while another thread turns the last
 * letter to b and back all the time. Prints for each open which of the two it got. Executed as DIRECTORY/a or b, and so
 * with other arguments, it does nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static char name[4096];
static volatile char *letter;

static void *turn(void *nothing)
{
    for (;;)
        *letter ^= 'a' ^ 'b';
    return nothing;
}

static void start_turning(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, turn, NULL);
}

static int open_name(const char *how)
{
    uint64_t arguments[3] = { O_RDONLY, 0, 0 };
    if (!strcmp(how, "openat2"))
        return syscall(SYS_openat2, AT_FDCWD, name, arguments, sizeof arguments);
    return open(name, O_RDONLY);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 0;
    snprintf(name, sizeof name, "%s/a", argv[1]);
    letter = name + strlen(name) - 1;
    if (strcmp(argv[2], "exec"))
        start_turning();
    for (int time = 0; time < atoi(argv[3]); time++) {
        char content = '?';
        if (!strcmp(argv[2], "exec")) {
            pid_t child = fork();
            if (child == 0) {
                start_turning();
                execl(name, name, (char *)NULL);
                _exit(1);
            }
            waitpid(child, NULL, 0);
            continue;
        }
        int file = open_name(argv[2]);
        if (read(file, &content, 1) == 1)
            printf("%c\n", content);
        close(file);
    }
    return 0;
}

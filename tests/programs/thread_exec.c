/* thread_exec DIRECTORY COUNT: a thread that is not the leader replaces the process by itself COUNT times while
 * 8 other threads open files. Each image prints "image <COUNT> <pid>". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINNING = 8 };

static atomic_int running;
static char path[4096], count[16];
static char **arguments;

static void *spin(void *unused)
{
    for (int first = 1;; first = 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            abort();
        close(fd);
        running += first;
    }
    return unused;
}

static void *replace(void *unused)
{
    while (running < SPINNING)
        sched_yield();
    execv("/proc/self/exe", arguments);
    abort();
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 3)
        return 2;
    printf("image %s %d\n", argv[2], getpid());
    fflush(stdout);
    if (atoi(argv[2]) == 0)
        return 6;
    snprintf(path, sizeof path, "%s/spin", argv[1]);
    snprintf(count, sizeof count, "%d", atoi(argv[2]) - 1);
    argv[2] = count;
    arguments = argv;
    for (int i = 0; i < SPINNING; i++)
        pthread_create(&thread, NULL, spin, NULL);
    pthread_create(&thread, NULL, replace, NULL);
    pthread_join(thread, NULL);
    return 1;
}

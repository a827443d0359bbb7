/* count DIRECTORY: opens t<thread>-<item> for 1220 items from 3 threads, some of which do not exist,
 * while the main thread forks 13 children that open c-<n> and exit with a code of their own.
 * Prints "thread <n> <tid>", "child <pid> <code>" and "opened <found> <missing>". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ITEMS = 1220, THREADS = 3, CHILDREN = 13 };

struct worker { pthread_t thread; int number; long tid; int found, missing; };

static const char *directory;
static pthread_barrier_t start;

static int try_open(const char *format, int first, int second)
{
    char path[4096];
    int used = snprintf(path, sizeof path, "%s/", directory);
    snprintf(path + used, sizeof path - used, format, first, second);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static void *work(void *argument)
{
    struct worker *self = argument;
    self->tid = syscall(SYS_gettid);
    pthread_barrier_wait(&start);
    for (int item = self->number; item < ITEMS; item += THREADS) {
        int error = try_open("t%d-%04d", self->number, item);
        self->found += error == 0;
        self->missing += error == ENOENT;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker workers[THREADS] = {0};
    pid_t children[CHILDREN];
    int found = 0, missing = 0;

    if (argc != 2)
        return 2;
    directory = argv[1];
    pthread_barrier_init(&start, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        workers[i].number = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 3;
    }
    pthread_barrier_wait(&start);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] < 0)
            return 4;
        if (children[i] == 0)
            _exit(try_open("c-%d", i, 0) ? 1 : 10 + 7 * i);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        if (waitpid(children[i], &status, 0) != children[i] || !WIFEXITED(status))
            return 5;
        printf("child %d %d\n", children[i], WEXITSTATUS(status));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        printf("thread %d %ld\n", i, workers[i].tid);
        found += workers[i].found;
        missing += workers[i].missing;
    }
    printf("opened %d %d\n", found, missing);
    return 0;
}

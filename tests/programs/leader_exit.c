/* leader_exit DIRECTORY: the leader ends first; then 3 threads open after-<n>, and the last one ends the process. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 3 };

static atomic_int done;
static const char *directory;

static char leader_state(void)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file))
        abort();
    fclose(file);
    return strrchr(line, ')')[2];
}

static void *outlive(void *number)
{
    char path[4096];
    while (leader_state() != 'Z')
        sched_yield();
    snprintf(path, sizeof path, "%s/after-%ld", directory, (long)number);
    if (open(path, O_RDONLY) < 0)
        _exit(1);
    if (++done < THREADS)
        return NULL;
    printf("all done\n");
    exit(7);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 2)
        return 2;
    directory = argv[1];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, outlive, (void *)i);
    pthread_exit(NULL);
}

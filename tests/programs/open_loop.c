/* open_loop THREADS FILE [PAUSE]: opens and closes FILE in a loop until standard input ends, with so many microseconds between,
   then prints how often each errno came. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int over;
static const char *file;
static long counts[4096];
static int pause_us;

static void *loop(void *unused)
{
    while (!over) {
        int fd = open(file, O_RDONLY);
        __atomic_add_fetch(&counts[fd < 0 ? errno : 0], 1, __ATOMIC_RELAXED);
        if (fd >= 0)
            close(fd);
        if (pause_us)
            usleep(pause_us);
    }
    return unused;
}

int main(int argc, char **argv)
{
    int threads = atoi(argv[1]);
    pthread_t ids[64];
    char c;
    file = argv[2];
    pause_us = argc > 3 ? atoi(argv[3]) : 0;
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, loop, NULL);
    printf("ready %d\n", getpid());
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    over = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < 4096; i++)
        if (counts[i])
            printf("errno %d: %ld\n", i, counts[i]);
    return argc < 3;
}

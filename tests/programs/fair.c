/* fair PATH: nine threads open PATH until one of them has done it 1,000 times; prints the least and the most. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 9, ENOUGH = 1000 };

static pthread_barrier_t start;
static atomic_int ended;
static const char *path;

static void *open_often(void *slot)
{
    int *count = slot;
    pthread_barrier_wait(&start);
    while (!ended) {
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            abort();
        close(fd);
        if (++*count == ENOUGH)
            ended = 1;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int counts[THREADS] = {0}, least = ENOUGH, most = 0;
    if (argc != 2)
        return 2;
    path = argv[1];
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, open_often, &counts[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        least = counts[i] < least ? counts[i] : least;
        most = counts[i] > most ? counts[i] : most;
    }
    printf("%d %d\n", least, most);
    return 0;
}

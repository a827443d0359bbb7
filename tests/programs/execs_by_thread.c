/* Executes itself again and again, each time by one of three threads, until there is input; then writes "end" and waits for
 * the end of its input. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static char **arguments;

static void *execute(void *nothing)
{
    usleep(3000);
    execv("/proc/self/exe", arguments); /* EAGAIN where another thread was first */
    return nothing;
}

int main(int argc, char **argv)
{
    struct pollfd input = {0, POLLIN, 0};
    pthread_t thread;

    (void)argc;
    arguments = argv;
    if (poll(&input, 1, 0) > 0) {
        puts("end");
        fflush(stdout);
        while (getchar() != EOF)
            ;
        return 7;
    }
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, execute, NULL); /* EAGAIN likewise */
    for (;;)
        pause();
}

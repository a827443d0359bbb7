/* waits FILE: threads that wait, each in its own way; then one command a line:
     count     how often a call of theirs has failed with EINTR
     open      open FILE
     vfork     a child by vfork that sleeps; its parent waits for it in the kernel
     end       leave with status 7
   and after each of them "done", but for vfork, which says the child's id. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { WAYS = 6 };

static atomic_int interrupted;
static atomic_int begun;
static atomic_int semaphores = -1;

static int wait_epoll(void)
{
    struct epoll_event event;
    static int descriptor = -1;
    if (descriptor < 0)
        descriptor = epoll_create1(0);
    return epoll_wait(descriptor, &event, 1, -1);
}

static int wait_semaphore(void)
{
    static int set = -1;
    struct sembuf down = {0, -1, 0};
    if (set < 0)
        set = semget(IPC_PRIVATE, 1, 0600);
    semaphores = set;
    return semop(set, &down, 1);
}

static int wait_signal(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    return sigwaitinfo(&signals, NULL);
}

static int wait_message(void)
{
    static int ends[2] = {-1, -1};
    char byte;
    struct timeval patience = {1000, 0};
    if (ends[0] < 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
            abort();
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    return (int)recv(ends[0], &byte, 1, 0);
}

static int wait_poll(void)
{
    return poll(NULL, 0, -1);
}

static int wait_sleep(void)
{
    struct timespec while_ = {1000, 0};
    return nanosleep(&while_, NULL);
}

static int (*const ways[WAYS])(void) = {wait_epoll, wait_semaphore, wait_signal, wait_message, wait_poll, wait_sleep};

static void *wait_for_ever(void *way)
{
    int (*function)(void) = *(int (*const *)(void))way;
    begun++;
    for (;;) {
        if (function() < 0 && errno == EINTR)
            interrupted++;
    }
    return NULL;
}

static void do_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        char text[32];
        int length = snprintf(text, sizeof text, "%d\n", getpid());
        if (write(1, text, (size_t)length) != length)
            _exit(1);
        for (;;)
            pause();
    }
}

int main(int count, char **arguments)
{
    char line[64];
    sigset_t signals;
    if (count != 2)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int way = 0; way < WAYS; way++) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_ever, (void *)&ways[way]);
    }
    while (begun < WAYS)
        usleep(1000);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "vfork\n")) {
            do_vfork();
            continue;
        }
        if (!strcmp(line, "count\n"))
            printf("%d\n", interrupted);
        if (!strcmp(line, "open\n"))
            close(open(arguments[1], O_RDONLY));
        if (!strcmp(line, "end\n"))
            break;
        puts("done");
    }
    semctl(semaphores, 0, IPC_RMID);
    return 7;
}

/* Sends itself 10,000 signals as a Go runtime does with SIGURG, in ways whose count is exact:
 * 5,000 from four threads to themselves (handled before tgkill returns), 4,000 from the main thread to a
 * thread that opens files meanwhile (each awaited), 1,000 queued real-time signals with increasing values. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 4, TO_SELF = 1250, TO_OTHER = 4000, QUEUED = 1000 };

static atomic_int urgent, queued, out_of_order, foreign, stop;
static atomic_int target;

static long thread_id(void) { return syscall(SYS_gettid); }

static void on_urgent(int number, siginfo_t *info, void *context)
{
    (void)number; (void)context;
    if (info->si_pid != getpid() || info->si_code != SI_TKILL)
        foreign++;
    urgent++;
}

static void on_queued(int number, siginfo_t *info, void *context)
{
    (void)number; (void)context;
    if (info->si_value.sival_int != queued || info->si_code != SI_QUEUE)
        out_of_order++;
    queued++;
}

static void *signal_myself(void *unused)
{
    for (int i = 0; i < TO_SELF; i++)
        syscall(SYS_tgkill, getpid(), thread_id(), SIGURG);
    return unused;
}

static void *open_files(void *unused)
{
    target = thread_id();
    while (!stop) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd >= 0)
            close(fd);
    }
    return unused;
}

static void signal_other(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, open_files, NULL);
    while (!target)
        sched_yield();
    for (int i = 0; i < TO_OTHER; i++) {
        int before = urgent;
        syscall(SYS_tgkill, getpid(), target, SIGURG);
        while (urgent == before)
            sched_yield();
    }
    stop = 1;
    pthread_join(thread, NULL);
}

static void queue_signals(void)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &only, NULL);
    for (int i = 0; i < QUEUED; i++)
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i });
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    while (queued < QUEUED)
        sched_yield();
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_urgent, .sa_flags = SA_SIGINFO | SA_RESTART };
    pthread_t threads[THREADS];

    sigaction(SIGURG, &action, NULL);
    action.sa_sigaction = on_queued;
    sigaction(SIGRTMIN + 1, &action, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, signal_myself, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    signal_other();
    queue_signals();
    printf("urgent %d queued %d out of order %d foreign %d\n", urgent, queued, out_of_order, foreign);
    return 0;
}

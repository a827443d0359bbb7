/* A parent stops and continues a child of four spinning threads, by SIGSTOP and by SIGTSTP, and tells what
 * waitpid, /proc and the threads' counters show. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4 };

static volatile unsigned long *counters;

static void *spin(void *slot)
{
    for (;;)
        ++*(volatile unsigned long *)slot;
    return NULL;
}

static void run_child(void)
{
    pthread_t thread;
    for (int i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, spin, (void *)(counters + i));
    spin((void *)counters);
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static int moved(const unsigned long *before)
{
    int count = 0;
    for (int i = 0; i < THREADS; i++)
        count += counters[i] != before[i];
    return count;
}

/* 1 when every thread's state letter is T or t */
static int all_stopped(pid_t pid)
{
    char path[64], line[512];
    int threads = 0, stopped = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        char stat[400];
        snprintf(stat, sizeof stat, "%s/%s/stat", path, entry->d_name);
        FILE *file = fopen(stat, "r");
        if (file && fgets(line, sizeof line, file)) {
            char *state = strrchr(line, ')');
            threads++;
            stopped += state && (state[2] == 'T' || state[2] == 't');
        }
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return threads == THREADS && stopped == THREADS;
}

static void fail(const char *what)
{
    printf("failed: %s\n", what);
    exit(1);
}

static void wait_for_progress(const char *when)
{
    unsigned long before[THREADS];
    memcpy(before, (void *)counters, sizeof before);
    for (int i = 0; moved(before) < THREADS; i++, nap())
        if (i > 4000)
            fail(when);
}

static void stop_and_continue(pid_t child, int number)
{
    unsigned long before[THREADS];
    int status;
    kill(child, number);
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
        fail("not reported as stopped");
    printf("stopped by %d\n", WSTOPSIG(status));
    for (int i = 0; !all_stopped(child); i++, nap())
        if (i > 4000)
            fail("not all threads stop");
    memcpy(before, (void *)counters, sizeof before);
    nap();
    printf("threads that moved while stopped: %d\n", moved(before));
    kill(child, SIGCONT);
    if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status))
        fail("not reported as continued");
    wait_for_progress("no progress after SIGCONT");
    printf("continued\n");
}

int main(void)
{
    int status;
    counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    setpgid(child, child); /* SIGTSTP does nothing in an orphaned process group */
    if (child == 0)
        run_child();
    wait_for_progress("the child never started");
    stop_and_continue(child, SIGSTOP);
    stop_and_continue(child, SIGTSTP);
    stop_and_continue(child, SIGSTOP);
    kill(child, SIGSTOP);
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
        fail("not reported as stopped");
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child)
        fail("not reported as dead");
    printf("killed while stopped by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    return 0;
}

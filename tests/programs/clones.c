/* clones WHAT: starts children by clone3 in ways that could escape a tracer, and prints "<what> <result>" for each.
 * secret: CLONE_UNTRACED in memory that only the kernel and the process itself can read; bad: arguments that not even the
 * kernel can read; process, thread, sibling, namespace: a thread turns CLONE_UNTRACED on and off all the time, and each of TRIES
 * children opens /etc/hostname when the call is over (prints how many could); strangers: traces a child, which has a child
 * without a tracer, and then traces that one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef CLONE_UNTRACED
#define CLONE_UNTRACED 0x00800000
#endif

enum { MEMFD_SECRET = 447, TIMES = 3, TRIES = 53, PAGE = 4096, STACK = 65536 };

struct arguments { volatile uint64_t flags; uint64_t pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; };

/* Shared with all children. */
static struct { volatile int allowed, opened, done, child; } *state;

static void *shared_page(int protection)
{
    return mmap(NULL, PAGE, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void say(const char *what, long result)
{
    printf("%s %ld\n", what, result < 0 ? -(long)errno : result);
    fflush(stdout);
}

static long start_and_wait(struct arguments *arguments)
{
    int status;
    long child = syscall(SYS_clone3, arguments, sizeof *arguments);
    if (child == 0)
        _exit(7);
    return child > 0 && waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

static void try_secret(void)
{
    int file = syscall(MEMFD_SECRET, 0);
    struct arguments *secret = MAP_FAILED;
    if (file >= 0 && ftruncate(file, PAGE) == 0)
        secret = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (int time = 0; secret != MAP_FAILED && time < TIMES; time++) {
        secret->flags = CLONE_UNTRACED;
        secret->exit_signal = SIGCHLD;
        say("secret", start_and_wait(secret));
    }
}

static void try_bad(void)
{
    char *page = shared_page(PROT_NONE);
    say("none", start_and_wait((struct arguments *)page));
    munmap(page, PAGE);
    say("unmapped", start_and_wait((struct arguments *)page));
    say("null", start_and_wait(NULL));
}

/* A child that does what a tracer is to see, when its parent is back from the call. It has its parent's thread-local data. */
static void act(void)
{
    int number = state->done;
    while (state->allowed <= number)
        usleep(200);
    if (syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0)
        state->opened++;
    state->done++;
    for (;;)
        syscall(SYS_exit, 0);
}

static struct arguments *arguments;
static uint64_t wanted;

static void *turn(void *nothing)
{
    for (;;)
        arguments->flags = arguments->flags == wanted ? wanted | CLONE_UNTRACED : wanted;
    return nothing;
}

static long start(void)
{
    long result = SYS_clone3;
    register void (*function)(void) __asm__("r12") = act;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tand $-16, %%rsp\n\tcall *%%r12\n1:"
                     : "+a"(result) : "D"(arguments), "S"(sizeof *arguments), "r"(function) : "rcx", "r11", "memory");
    return result;
}

/* Let it run on each CPU in turn: on the tracer's own it would never run at the right moment. */
static void move(pthread_t turner, const cpu_set_t *allowed, int number)
{
    cpu_set_t one;
    int index = number % CPU_COUNT(allowed);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && index-- == 0)
            CPU_SET(cpu, &one);
    pthread_setaffinity_np(turner, sizeof one, &one);
}

static void race(void)
{
    pthread_t turner;
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    arguments = shared_page(PROT_READ | PROT_WRITE);
    arguments->flags = wanted;
    arguments->exit_signal = wanted & (CLONE_THREAD | CLONE_PARENT) ? 0 : SIGCHLD;
    pthread_create(&turner, NULL, turn, NULL);
    for (int number = 0; number < TRIES; number++) {
        if (wanted & CLONE_THREAD) {
            arguments->stack = (uintptr_t)mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            arguments->stack_size = STACK;
        }
        move(turner, &allowed, number);
        if (start() < 0)
            _exit(1);
        state->allowed = number + 1;
        while (state->done <= number)
            usleep(200);
    }
    _exit(0);
}

static void try_race(const char *what, uint64_t flags)
{
    wanted = flags;
    if (fork() == 0)
        race();
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    say(what, state->opened);
}

static void follow_until_the_end(void)
{
    int status, pid;
    while ((pid = waitpid(-1, &status, __WALL)) > 0)
        if (WIFSTOPPED(status))
            ptrace(PTRACE_CONT, pid, 0, status >> 16 ? 0 : WSTOPSIG(status));
}

static void trace_strangers(void)
{
    int child = fork();
    if (child == 0) {
        while (!state->allowed)
            sched_yield();
        int grandchild = fork();
        if (grandchild == 0) {
            while (state->allowed < 2)
                sched_yield();
            _exit(open("/etc/hostname", O_RDONLY) < 0);
        }
        state->child = grandchild;
        waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    say("child", ptrace(PTRACE_SEIZE, child, 0, 0));
    state->allowed = 1;
    while (!state->child)
        sched_yield();
    say("grandchild", ptrace(PTRACE_SEIZE, state->child, 0, 0));
    printf("%d %d\n", child, state->child);
    fflush(stdout);
    state->allowed = 2;
    follow_until_the_end();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    state = shared_page(PROT_READ | PROT_WRITE);
    if (!strcmp(what, "secret"))
        try_secret();
    else if (!strcmp(what, "bad"))
        try_bad();
    else if (!strcmp(what, "process"))
        try_race(what, 0);
    else if (!strcmp(what, "thread"))
        try_race(what, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD);
    else if (!strcmp(what, "sibling"))
        try_race(what, CLONE_PARENT);
    else if (!strcmp(what, "namespace"))
        try_race(what, CLONE_NEWPID);
    else if (!strcmp(what, "strangers"))
        trace_strangers();
    return 0;
}

/* What parents and children see of each other, one line a case, the same each time: siginfo of SIGCHLD, wait4 and waitid
 * with their options, PDEATHSIG, vfork, posix_spawn, process groups, sessions, signal stacks, signalfd, timers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void check(int fine, const char *what)
{
    if (!fine) {
        printf("failed: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static pid_t start(void)
{
    fflush(stdout);
    pid_t pid = fork();
    check(pid >= 0, "fork");
    return pid;
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

/* --- SIGCHLD and waiting ------------------------------------------------------ */

static void tell_info(const char *when, const siginfo_t *info, pid_t child)
{
    printf("%s: signo %d code %d status %d pid %s uid %d\n", when, info->si_signo, info->si_code, info->si_status,
           info->si_pid == child ? "child" : info->si_pid ? "other" : "none", (int)info->si_uid);
}

static void expect_sigchld(const char *when, pid_t child)
{
    sigset_t only;
    siginfo_t info;
    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    check(sigwaitinfo(&only, &info) == SIGCHLD, "sigwaitinfo");
    tell_info(when, &info, child);
}

static void tell_waitid(const char *when, pid_t child, int options)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int result = waitid(P_PID, child, &info, options);
    if (result != 0)
        printf("%s: %s\n", when, strerror(errno));
    else
        tell_info(when, &info, child);
}

static void watch_stops(void)
{
    int status;
    pid_t child = start();
    if (child == 0)
        sleep_for_ever();
    tell_waitid("nothing yet", child, WEXITED | WSTOPPED | WCONTINUED | WNOHANG);
    for (int round = 0; round < 3; round++) {
        kill(child, SIGSTOP);
        expect_sigchld("sigchld of a stop", child);
        tell_waitid("stop left", child, WSTOPPED | WNOWAIT);
        tell_waitid("stop left again", child, WSTOPPED | WNOWAIT);
        check(wait4(child, &status, WUNTRACED | WNOHANG, NULL) == child, "wait4 of a stop");
        printf("stop status %#x\n", status);
        tell_waitid("stop taken", child, WSTOPPED | WNOHANG);
        kill(child, SIGCONT);
        expect_sigchld("sigchld of a continuation", child);
        tell_waitid("continuation left", child, WCONTINUED | WNOWAIT);
        check(wait4(child, &status, WCONTINUED | WNOHANG, NULL) == child, "wait4 of a continuation");
        printf("continuation status %#x\n", status);
        tell_waitid("continuation taken", child, WCONTINUED | WNOHANG);
    }
    kill(child, SIGKILL);
    expect_sigchld("sigchld of a death", child);
    tell_waitid("death left", child, WEXITED | WNOWAIT);
    tell_waitid("death left again", child, WEXITED | WNOWAIT | WNOHANG);
    tell_waitid("death", child, WEXITED | WNOHANG);
    tell_waitid("death taken", child, WEXITED);
}

static void watch_end(const char *when, int number, int code)
{
    struct rusage usage;
    int status;
    pid_t child = start();
    if (child == 0) {
        if (number)
            raise(number);
        _exit(code);
    }
    expect_sigchld(when, child);
    check(wait4(child, &status, WNOHANG, &usage) == child, "wait4 right after SIGCHLD");
    printf("%s: status %#x\n", when, status);
}

static void ignore_children(const char *when, int flags, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;
    int status = 0;
    sigaction(SIGCHLD, &action, &old);
    pid_t child = start();
    if (child == 0)
        _exit(3);
    pid_t result = waitpid(child, &status, 0);
    printf("%s: waitpid %s status %d\n", when, result < 0 ? strerror(errno) : "found it", status);
    sigaction(SIGCHLD, &old, NULL);
}

static void wait_options(void)
{
    int status;
    pid_t child = syscall(SYS_clone, 0UL, NULL, NULL, NULL, NULL); /* no signal at its end: a "clone child" */
    if (child == 0)
        _exit(5);
    printf("clone child by wait: %d\n", waitpid(child, &status, 0) == child);
    check(waitpid(child, &status, __WCLONE) == child, "__WCLONE");
    printf("clone child by __WCLONE: %d\n", WEXITSTATUS(status));
    child = syscall(SYS_clone, 0UL, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(6);
    check(waitpid(child, &status, __WALL) == child, "__WALL");
    printf("clone child by __WALL: %d\n", WEXITSTATUS(status));
    child = start();
    if (child == 0) {
        setpgid(0, 0);
        _exit(7);
    }
    setpgid(child, child);
    check(waitpid(-child, &status, 0) == child, "a group");
    printf("child by its group: %d\n", WEXITSTATUS(status));
    printf("no child: %d\n", waitpid(-1, &status, WNOHANG));
}

/* --- parents and groups --------------------------------------------------------- */

static void parent_death(void)
{
    int ends[2];
    char byte = 'x';
    check(pipe(ends) == 0, "pipe");
    pid_t parent = start();
    if (parent == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            sigset_t only;
            siginfo_t info;
            sigemptyset(&only);
            sigaddset(&only, SIGUSR1);
            sigprocmask(SIG_BLOCK, &only, NULL);
            check(write(ends[1], "r", 1) == 1, "write");
            sigwaitinfo(&only, &info);
            byte = info.si_signo == SIGUSR1 ? 'd' : '?';
            check(write(ends[1], &byte, 1) == 1, "write");
            _exit(0);
        }
        sleep_for_ever();
    }
    check(read(ends[0], &byte, 1) == 1 && byte == 'r', "the grandchild is ready");
    kill(parent, SIGKILL);
    check(read(ends[0], &byte, 1) == 1, "the grandchild is told");
    printf("signal at the parent's death: %c\n", byte);
    waitpid(parent, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

static void by_vfork(void)
{
    int status;
    volatile int shared = 1;
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        shared = 2;
        execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
        _exit(1);
    }
    check(waitpid(child, &status, 0) == child, "vfork");
    printf("vfork: shared %d status %d\n", shared, WEXITSTATUS(status));
}

static void by_posix_spawn(void)
{
    char *const arguments[] = { "sh", "-c", "kill -STOP $$; trap '' TERM; kill -TERM $$; exit 11", NULL };
    posix_spawnattr_t attributes;
    sigset_t set;
    pid_t child;
    int status;
    posix_spawnattr_init(&attributes);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    check(posix_spawn(&child, "/bin/sh", NULL, &attributes, arguments, environ) == 0, "posix_spawn");
    printf("posix_spawn: own group %d\n", getpgid(child) == child);
    check(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "it stops");
    killpg(child, SIGCONT);
    check(waitpid(child, &status, 0) == child, "it ends");
    printf("posix_spawn: status %d\n", WEXITSTATUS(status));
    printf("posix_spawn of nothing: %d\n", posix_spawn(&child, "/nonexistent", NULL, NULL, arguments, environ));
}

/* Parent and child both put it into its group, as shells do; whoever comes first, both are content. */
static void group_races(void)
{
    int wrong = 0, status;
    for (int i = 0; i < 101; i++) {
        pid_t child = start();
        if (child == 0)
            _exit(setpgid(0, 0) != 0 || getpgrp() != getpid());
        int result = setpgid(child, child);
        wrong += result != 0 && errno != ESRCH;
        check(waitpid(child, &status, 0) == child, "waitpid");
        wrong += status != 0;
    }
    printf("races of setpgid that went wrong: %d\n", wrong);
    pid_t child = start();
    if (child == 0) {
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
        _exit(1);
    }
    char name[64] = "", path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", child);
    while (strcmp(name, "sleep\n") != 0) {
        FILE *file = fopen(path, "re");
        check(file && fgets(name, sizeof name, file), path);
        fclose(file);
    }
    int result = setpgid(child, child);
    printf("setpgid after exec: %s\n", result ? strerror(errno) : "done");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void sessions(void)
{
    int status;
    pid_t child = start();
    if (child == 0) {
        int first = setsid() == getpid(), second = setsid() < 0 && errno == EPERM;
        int group = setpgid(0, 0) < 0 && errno == EPERM;
        _exit(first && second && group && getsid(0) == getpid() && getpgrp() == getpid() ? 13 : 1);
    }
    check(waitpid(child, &status, 0) == child, "waitpid");
    printf("session: %d\n", WEXITSTATUS(status));
}

/* A group that nobody oversees any more, with a stopped member, gets SIGHUP and SIGCONT (POSIX, _exit). */
static void orphaned_group(void)
{
    int ends[2];
    char text[8] = "";
    check(pipe(ends) == 0, "pipe");
    pid_t parent = start();
    if (parent == 0) {
        setpgid(0, 0);
        pid_t child = fork();
        if (child == 0) {
            sigset_t set;
            siginfo_t info;
            setpgid(0, 0);
            sigemptyset(&set);
            sigaddset(&set, SIGHUP);
            sigprocmask(SIG_BLOCK, &set, NULL);
            raise(SIGSTOP);
            sigwaitinfo(&set, &info);
            snprintf(text, sizeof text, "hup%d", info.si_code > 0);
            check(write(ends[1], text, 4) == 4, "write");
            _exit(0);
        }
        int status;
        waitpid(child, &status, WUNTRACED);
        _exit(WIFSTOPPED(status) ? 0 : 1);
    }
    int status;
    check(waitpid(parent, &status, 0) == parent, "waitpid");
    check(read(ends[0], text, 4) == 4, "read");
    printf("orphaned group: %d %s\n", status, text);
    close(ends[0]);
    close(ends[1]);
}

/* --- handlers, descriptors, timers ------------------------------------------------ */

static char *stack_start;
static volatile sig_atomic_t on_stack, interrupted;

static void look_at_stack(int number)
{
    char here;
    (void)number;
    on_stack = &here >= stack_start && &here < stack_start + SIGSTKSZ * 4;
}

static void note(int number)
{
    (void)number;
    interrupted++;
}

static void signal_stack(void)
{
    stack_start = malloc(SIGSTKSZ * 4);
    stack_t stack = { .ss_sp = stack_start, .ss_size = SIGSTKSZ * 4 };
    struct sigaction action = { .sa_handler = look_at_stack, .sa_flags = SA_ONSTACK };
    check(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("handler on its own stack: %d\n", on_stack);
}

static void signal_descriptor(void)
{
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = i + 5 });
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR2);
    while (read(fd, &info, sizeof info) == sizeof info)
        printf("signalfd: %d code %d value %d from self %d\n", info.ssi_signo, info.ssi_code, info.ssi_int,
               info.ssi_pid == (unsigned)getpid());
    printf("signalfd then: %s\n", strerror(errno));
    close(fd);
}

static void timers(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4, .sigev_value.sival_int = 99 };
    struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
    struct itimerval alarm_soon = { .it_value.tv_usec = 1000 };
    siginfo_t info;
    sigset_t set;
    timer_t timer;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 4);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
    timer_settime(timer, 0, &soon, NULL);
    sigwaitinfo(&set, &info);
    printf("timer: %d code %d value %d overrun %d\n", info.si_signo, info.si_code, info.si_value.sival_int,
           timer_getoverrun(timer));
    timer_delete(timer);
    setitimer(ITIMER_REAL, &alarm_soon, NULL);
    sigwaitinfo(&set, &info);
    printf("alarm: %d code %d\n", info.si_signo, info.si_code);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* A call that a handler interrupts begins anew with SA_RESTART, and fails with EINTR without it. */
static void interruption(int flags)
{
    struct sigaction action = { .sa_handler = note, .sa_flags = flags };
    struct itimerval soon = { .it_value.tv_usec = 2000, .it_interval.tv_usec = 2000 }, never = { .it_value.tv_sec = 0 };
    int ends[2];
    char byte;
    check(pipe(ends) == 0, "pipe");
    sigaction(SIGALRM, &action, NULL);
    interrupted = 0;
    pid_t child = start();
    if (child == 0) {
        close(ends[0]);
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        _exit(write(ends[1], "x", 1) != 1);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    ssize_t got = read(ends[0], &byte, 1);
    int error = errno;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("read with flags %#x: %s interrupted %d\n", flags, got == 1 ? "a byte" : strerror(error), interrupted > 0);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    struct rlimit none = { 0, 0 };
    sigset_t only;
    setrlimit(RLIMIT_CORE, &none);
    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    sigprocmask(SIG_BLOCK, &only, NULL);
    watch_stops();
    watch_end("exit", 0, 17);
    watch_end("term", SIGTERM, 0);
    watch_end("kill", SIGKILL, 0);
    watch_end("segv", SIGSEGV, 0);
    watch_end("real-time", SIGRTMIN + 7, 0);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    ignore_children("children ignored", 0, SIG_IGN);
    ignore_children("children not waited for", SA_NOCLDWAIT, SIG_DFL);
    wait_options();
    parent_death();
    by_vfork();
    by_posix_spawn();
    group_races();
    sessions();
    orphaned_group();
    signal_stack();
    signal_descriptor();
    timers();
    interruption(0);
    interruption(SA_RESTART);
    return 0;
}

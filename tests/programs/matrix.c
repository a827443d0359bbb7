/* Sends every signal in every way to a process that handles, ignores or leaves it, and prints what becomes of it.
 * `matrix dump` sends only those that dump core, to processes that may; `matrix catch` prints "ready PID" and then each
 * signal that comes from outside, its number, code and value, until SIGUSR2. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = 64, VALUE = 4711 };
enum disposition { HANDLED, IGNORED, DEFAULT };

static const char *const names[] = { "handled", "ignored", "default" };
static pid_t target_parent;

static void on_signal(int number, siginfo_t *info, void *context)
{
    char line[96];
    (void)context;
    int sender = info->si_pid == getpid() ? 's' : info->si_pid == target_parent ? 'p' : '?';
    snprintf(line, sizeof line, "  got %d code %d value %d sender %c uid %d\n", number, info->si_code,
             info->si_code == SI_QUEUE ? info->si_value.sival_int : 0, sender, (int)info->si_uid);
    if (write(1, line, strlen(line)) < 0)
        _exit(9);
}

static void dispose(int number, enum disposition how)
{
    struct sigaction action = { .sa_flags = SA_SIGINFO };
    action.sa_sigaction = on_signal;
    if (how != HANDLED) {
        action.sa_flags = 0;
        action.sa_handler = how == IGNORED ? SIG_IGN : SIG_DFL;
    }
    if (sigaction(number, &action, NULL) != 0 && how == HANDLED)
        printf("  cannot be handled: %s\n", strerror(errno));
}

/* Four ways in which a process sends itself a signal, and two in which its parent does. */
static int send_signal(int way, pid_t pid, int number)
{
    union sigval value = { .sival_int = VALUE + number };
    switch (way) {
    case 0: case 4: return kill(pid, number);
    case 1: case 5: {
        siginfo_t info = { .si_signo = number, .si_code = SI_QUEUE };
        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value = value;
        return syscall(SYS_rt_sigqueueinfo, pid, number, &info); /* sigqueue(3), which leaves libc's own two out */
    }
    case 2: return syscall(SYS_tgkill, pid, syscall(SYS_gettid), number);
    default: return syscall(SYS_tkill, syscall(SYS_gettid), number);
    }
}

static int stops(int number, enum disposition how)
{
    return number == SIGSTOP || (how == DEFAULT && (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU));
}

static void stop_and_continue(pid_t child)
{
    int status;
    if (waitpid(child, &status, WUNTRACED) != child)
        exit(8);
    printf("  stopped %d by %d\n", WIFSTOPPED(status) != 0, WSTOPSIG(status));
    kill(child, SIGCONT);
    if (waitpid(child, &status, WCONTINUED) != child)
        exit(8);
    printf("  continued %d\n", WIFCONTINUED(status) != 0);
}

static void tell_end(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        exit(8);
    if (WIFEXITED(status))
        printf("  exited with %d\n", WEXITSTATUS(status));
    else
        printf("  killed by %d core %d\n", WTERMSIG(status), WCOREDUMP(status) != 0);
}

static void try_one(int number, enum disposition how, int way)
{
    int ready[2], go[2];
    char byte = 0;
    if (pipe(ready) || pipe(go))
        exit(8);
    printf("signal %d %s way %d\n", number, names[how], way);
    fflush(stdout);
    target_parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        dispose(number, how);
        fflush(stdout);
        if (way < 4)
            send_signal(way, getpid(), number);
        close(go[1]);
        if (write(ready[1], "r", 1) != 1)
            _exit(8);
        while (read(go[0], &byte, 1) < 0 && errno == EINTR)
            ;
        _exit(42);
    }
    close(ready[1]);
    close(go[0]);
    if (way >= 4) {
        if (read(ready[0], &byte, 1) != 1)
            exit(8);
        send_signal(way, child, number);
    }
    if (stops(number, how))
        stop_and_continue(child);
    close(go[1]);
    tell_end(child);
    close(ready[0]);
}

static int limit_core(rlim_t size)
{
    struct rlimit limit = { size, size };
    return setrlimit(RLIMIT_CORE, &limit);
}

static int catch_all(void)
{
    sigset_t all;
    siginfo_t info;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    printf("ready %d\n", getpid());
    do {
        fflush(stdout);
        sigwaitinfo(&all, &info);
        printf("%d code %d value %d\n", info.si_signo, info.si_code,
               info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
    } while (info.si_signo != SIGUSR2);
    return 3;
}

int main(int argc, char **argv)
{
    static const int dumping[] = { SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS };
    if (argc > 1 && strcmp(argv[1], "catch") == 0)
        return catch_all();
    if (argc > 1) {
        limit_core(RLIM_INFINITY);
        for (unsigned i = 0; i < sizeof dumping / sizeof *dumping; i++)
            try_one(dumping[i], DEFAULT, 0);
        return 0;
    }
    limit_core(0);
    for (int number = 1; number <= LAST; number++)
        for (enum disposition how = HANDLED; how <= DEFAULT; how++)
            for (int way = 0; way < 6; way++)
                try_one(number, how, way);
    return 0;
}

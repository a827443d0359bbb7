/* Prints what a program inherits from whoever started it, one line each. */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

extern char **environ;

static void print_descriptors(void)
{
    char link[64], target[256];
    for (int fd = 0; fd < 1024; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof target - 1);
        if (length < 0)
            continue;
        for (ssize_t i = 0; i < length; i++) /* pipe:[1234] has another number each time */
            target[i] = isdigit(target[i]) ? '#' : target[i];
        printf("fd %d %.*s flags %#x %#x\n", fd, (int)length, target, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    }
}

static void print_status(void)
{
    static const char *names[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd",
                                   "CapAmb", "NoNewPrivs", "Cpus_allowed:", "Mems_allowed:", "Groups" };
    char line[1024];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            if (strncmp(line, names[i], strlen(names[i])) == 0)
                fputs(line, stdout);
    if (file)
        fclose(file);
}

static void print_limits(void)
{
    for (int kind = 0; kind < RLIM_NLIMITS; kind++) {
        struct rlimit limit;
        if (getrlimit(kind, &limit) == 0)
            printf("limit %d %llu %llu\n", kind, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
}

static void print_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR);
    printf("terminal %s\n", fd < 0 ? "none" : tcgetpgrp(fd) == getpgrp() ? "foreground" : "background");
    if (fd >= 0)
        close(fd);
}

static void print_file(const char *path)
{
    char text[64] = "";
    FILE *file = fopen(path, "re");
    if (!file || !fgets(text, sizeof text, file))
        strcpy(text, "unreadable\n");
    printf("%s %s", path, text);
    if (file)
        fclose(file);
}

static int get(int option)
{
    int value = -1;
    return prctl(option, &value) ? -1 : value;
}

int main(int argc, char **argv)
{
    char directory[4096];
    struct itimerval timer;
    mode_t mask = umask(0);
    print_descriptors();
    print_status();
    print_limits();
    print_terminal();
    print_file("/proc/self/oom_score_adj");
    print_file("/proc/self/coredump_filter");
    getitimer(ITIMER_REAL, &timer);
    printf("umask %o\ncwd %s\nnice %d\npolicy %d\n", mask, getcwd(directory, sizeof directory),
           getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
    printf("group %d session %d\n", getpgrp(), getsid(0));
    printf("personality %#x secure %lu timer %ld\n", personality(0xffffffff), getauxval(AT_SECURE),
           (long)timer.it_value.tv_sec);
    printf("dumpable %d keepcaps %d slack %d securebits %d\n", prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS),
           prctl(PR_GET_TIMERSLACK), prctl(PR_GET_SECUREBITS));
    printf("subreaper %d death signal %d\n", get(PR_GET_CHILD_SUBREAPER), get(PR_GET_PDEATHSIG));
    printf("arguments %d\n", argc);
    for (char **entry = argv; *entry; entry++)
        printf("argument %s\n", *entry);
    for (char **entry = environ; *entry; entry++)
        printf("environment %s\n", *entry);
    return 0;
}

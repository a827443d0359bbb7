/* Prints "ready <pid>", then "got <signal>" for each signal handled (name HUP, INT, USR1, TERM, WINCH, CONT, RT+3),
 * until SIGUSR2 comes or standard input ends; exits with 5. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(9);
}

static void handle(int number)
{
    switch (number) {
    case SIGHUP: say("got HUP\n"); break;
    case SIGINT: say("got INT\n"); break;
    case SIGUSR1: say("got USR1\n"); break;
    case SIGTERM: say("got TERM\n"); break;
    case SIGCONT: say("got CONT\n"); break;
    case SIGUSR2: ended = 1; break;
    default: say(number == SIGRTMIN + 3 ? "got RT+3\n" : "got something else\n"); break;
    }
}

int main(void)
{
    int numbers[] = { SIGHUP, SIGINT, SIGUSR1, SIGTERM, SIGCONT, SIGUSR2, SIGRTMIN + 3 };
    struct sigaction action = { .sa_handler = handle };
    sigset_t all, none;
    char ready[32];

    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
    snprintf(ready, sizeof ready, "ready %d\n", getpid());
    say(ready);
    while (!ended)
        sigsuspend(&none);
    say("end\n");
    return 5;
}

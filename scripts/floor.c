/* The floor: no tracer can be faster than one that only stops at calls and resumes. It is what scripts/bench compares with.

   usage: floor N[,N...] COMMAND [ARG...]     stops at the calls with these numbers (amd64), in all threads and children

   FLOOR_STOPS names a file for the number of stops. The exit status is the command's, 128 + N if signal N killed it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_AT_MOST 200
#define FAILED 125
#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE \
                 | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP)

static int filter(char *list)
{
    struct sock_filter code[2 * CALLS_AT_MOST + 2];
    unsigned short length = 0;
    code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (char *word = strtok(list, ","); word && length < 2 * CALLS_AT_MOST; word = strtok(NULL, ",")) {
        code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, atoi(word), 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { length, code };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In the child, when it is traced. */
static int become(int go, char *list, char **command)
{
    char byte;
    if (read(go, &byte, 1) != 1 || filter(list))
        return FAILED;
    execvp(*command, command);
    return errno == ENOENT ? 127 : 126;
}

/* Whether a stopped thread has to stay where it is (a group-stop); else the signal that it is resumed with. */
static int stays(int status, int *number)
{
    int event = status >> 16, by = WSTOPSIG(status);
    *number = event || by == (SIGTRAP | 0x80) ? 0 : by;
    return event == PTRACE_EVENT_STOP && (by == SIGSTOP || by == SIGTSTP || by == SIGTTIN || by == SIGTTOU);
}

static int trace(pid_t command, unsigned long *stops)
{
    int status, number, result = 0;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) {
            if (tid == command)
                result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        ++*stops;
        if (stays(status, &number))
            ptrace(PTRACE_LISTEN, tid, 0, 0);
        else
            ptrace(PTRACE_CONT, tid, 0, (long)number);
    }
    return result;
}

int main(int argc, char **argv)
{
    int go[2];
    unsigned long stops = 0;
    if (argc < 3 || pipe2(go, O_CLOEXEC))
        return 2;
    pid_t command = fork();
    if (!command)
        _exit(become(go[0], argv[1], argv + 2));
    if (command < 0 || ptrace(PTRACE_SEIZE, command, 0, OPTIONS) || write(go[1], "g", 1) != 1) {
        perror("floor");
        return FAILED;
    }
    int result = trace(command, &stops);
    FILE *told = getenv("FLOOR_STOPS") ? fopen(getenv("FLOOR_STOPS"), "w") : NULL;
    if (told) {
        fprintf(told, "%lu\n", stops);
        fclose(told);
    }
    return result;
}

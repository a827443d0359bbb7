/* own_filter FILE traceme|wait: has a filter of its own, which kills it at seccomp(2). Asks to be traced by
 * its parent and prints the errno, or prints its id; for each line of standard input the errno of opening FILE. Ends with 7.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static int forbid_filters(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc != 3 || forbid_filters())
        return 2;
    if (argv[2][0] == 't')
        printf("traceme %d\n", ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? errno : 0);
    else
        printf("%d\n", (int)getpid());
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        int file = open(argv[1], O_RDONLY);
        printf("%d\n", file < 0 ? errno : 0);
        fflush(stdout);
        if (file >= 0)
            close(file);
    }
    return 7;
}

/* deeds WORD...: does what the words say, one after another, under whatever name it was copied to.
 * What is no deed is passed over, so that arguments for rules can stand anywhere. It fails when a deed does; the calls
 * marked with a star may be refused (EPERM).
 *   nobody                  becomes the user 65534
 *   create FILE             opens a file with O_CREAT
 *   chdir-fd DIRECTORY      goes there by /proc/self/fd
 *   remove FILE             unlinks it
 *   connect ADDRESS PORT    of a datagram socket: nothing is sent
 *   accept ADDRESS PORT     serves PORT to itself, which comes from ADDRESS
 *   filter                  attaches a filter to a socket
 *   name NAME               gives its thread a name
 *   setuid N                takes a user id
 *   module FILE *           loads a module from a file
 *   module-text TEXT *      ... from memory
 *   map *                   makes a BPF map
 *   helper N *              loads a BPF program for kprobes that calls this helper
 *   traceme *               lets its parent trace it
 *   peek PID, poke PID      attaches to a process, reads or writes a word of it, and lets it go
 *   run PROGRAM WORD...     runs the rest in a child and ends
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__
#define STACK rsp
#else
#define STACK sp
#endif

static int failed_but_not_refused(long result)
{
    return result < 0 && errno != EPERM;
}

static struct sockaddr_in address(const char *text, const char *port)
{
    struct sockaddr_in found;
    memset(&found, 0, sizeof found);
    found.sin_family = AF_INET;
    found.sin_port = htons(atoi(port));
    inet_pton(AF_INET, text, &found.sin_addr);
    return found;
}

static int chdir_by_descriptor(const char *directory)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", open(directory, O_RDONLY | O_DIRECTORY));
    return chdir(path);
}

static int connect_to(const char *host, const char *port)
{
    struct sockaddr_in there = address(host, port);
    return connect(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&there, sizeof there);
}

static int accept_from(const char *host, const char *port)
{
    struct sockaddr_in here = address("0.0.0.0", port), there = address(host, "0");
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 1))
        return 1;
    here = address("127.0.0.1", port);
    if (bind(client, (struct sockaddr *)&there, sizeof there) || connect(client, (struct sockaddr *)&here, sizeof here))
        return 1;
    return accept(server, NULL, NULL) < 0;
}

static int attach_filter(void)
{
    struct sock_filter everything = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    struct sock_fprog program = { 1, &everything };
    return setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int make_map(void)
{
    union bpf_attr map;
    memset(&map, 0, sizeof map);
    map.map_type = BPF_MAP_TYPE_ARRAY, map.key_size = 4, map.value_size = 4, map.max_entries = 1;
    return failed_but_not_refused(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}

static int load_program(int helper)
{
    struct bpf_insn code[] = { { BPF_JMP | BPF_CALL, 0, 0, 0, helper }, { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 } };
    union bpf_attr program;
    memset(&program, 0, sizeof program);
    program.prog_type = BPF_PROG_TYPE_KPROBE, program.insns = (uintptr_t)code, program.insn_cnt = 2;
    program.license = (uintptr_t)"GPL";
    return failed_but_not_refused(syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program));
}

static int meddle(pid_t target, int write)
{
    struct user_regs_struct registers;
    struct iovec piece = { &registers, sizeof registers };
    long word;
    if (ptrace(PTRACE_ATTACH, target, NULL, NULL) || waitpid(target, NULL, 0) < 0)
        return 1;
    ptrace(PTRACE_GETREGSET, target, (void *)1 /* NT_PRSTATUS */, &piece);
    word = ptrace(PTRACE_PEEKDATA, target, (void *)registers.STACK, NULL);
    if (write)
        ptrace(PTRACE_POKEDATA, target, (void *)registers.STACK, (void *)word);
    return ptrace(PTRACE_DETACH, target, NULL, NULL) != 0;
}

static int in_child(char **command)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The number of words that a deed took, 0 when it is none; *failed says whether it succeeded. */
static int do_deed(const char *deed, char **word, int *failed)
{
    if (!strcmp(deed, "nobody")) return *failed = setresuid(65534, 65534, 65534), 1;
    if (!strcmp(deed, "filter")) return *failed = attach_filter(), 1;
    if (!strcmp(deed, "map")) return *failed = make_map(), 1;
    if (!strcmp(deed, "traceme")) return *failed = failed_but_not_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)), 1;
    if (!word[0]) return 0;
    if (!strcmp(deed, "create")) return *failed = open(word[0], O_WRONLY | O_CREAT, 0644) < 0, 2;
    if (!strcmp(deed, "chdir-fd")) return *failed = chdir_by_descriptor(word[0]), 2;
    if (!strcmp(deed, "remove")) return *failed = unlink(word[0]), 2;
    if (!strcmp(deed, "name")) return *failed = prctl(PR_SET_NAME, word[0]), 2;
    if (!strcmp(deed, "setuid")) return *failed = setuid(atoi(word[0])), 2;
    if (!strcmp(deed, "module"))
        return *failed = failed_but_not_refused(syscall(SYS_finit_module, open(word[0], O_RDONLY), "", 0)), 2;
    if (!strcmp(deed, "module-text"))
        return *failed = failed_but_not_refused(syscall(SYS_init_module, word[0], strlen(word[0]), "")), 2;
    if (!strcmp(deed, "helper")) return *failed = load_program(atoi(word[0])), 2;
    if (!strcmp(deed, "peek")) return *failed = meddle(atoi(word[0]), 0), 2;
    if (!strcmp(deed, "poke")) return *failed = meddle(atoi(word[0]), 1), 2;
    if (!strcmp(deed, "run")) exit(in_child(word));
    if (!word[1]) return 0;
    if (!strcmp(deed, "connect")) return *failed = connect_to(word[0], word[1]), 3;
    if (!strcmp(deed, "accept")) return *failed = accept_from(word[0], word[1]), 3;
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0, position = 1;
    while (position < argc && !failed) {
        int taken = do_deed(argv[position], argv + position + 1, &failed);
        position += taken ? taken : 1;
    }
    return failed;
}

/* Does each system call by its number, with success and with failure, and prints "name result" of each.
 *
 * usage: calls NAME... (in an empty directory); before each NAME the file mark/NAME is opened in vain, so that a
 * trace shows where its part begins. Preparations are made by other calls than the one that is shown. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

/* --- files --- */

static void do_unlink(void) {
    close(file("u1")), close(file("u2"));
    if (symlink("u2", "u-link")) perror("symlink");
    CALL(unlink, "u1"), CALL(unlink, "none"), CALL(unlink, "u-link");
    CALL(unlinkat, here(), "u2", 0), CALL(unlinkat, AT_FDCWD, "none", 0), CALL(unlink, (char *)8);
}

static void do_rmdir(void) {
    if (mkdir("r1", 0755) || mkdir("r2", 0755)) perror("mkdir");
    CALL(rmdir, "r1"), CALL(rmdir, "none");
    show("rmdir", syscall(SYS_unlinkat, here(), "r2", AT_REMOVEDIR));
}

static void do_rename(void) {
    close(file("n1"));
    CALL(rename, "n1", "n2"), CALL(rename, "none", "n3");
    CALL(renameat, here(), "n2", here(), "n3"), CALL(renameat2, AT_FDCWD, "n3", AT_FDCWD, "n4", 0);
    close(file("n5"));
    CALL(renameat2, AT_FDCWD, "n4", AT_FDCWD, "n5", 1 /* NOREPLACE */);
}

static void do_mkdir(void) {
    umask(022);
    CALL(mkdir, "d1", 0777), CALL(mkdir, "d1", 0700), CALL(mkdirat, here(), "d2", 02750), CALL(mkdir, "no/d", 0700);
}

static void do_link(void) {
    close(file("l1"));
    CALL(link, "l1", "l2"), CALL(link, "none", "l3"), CALL(linkat, here(), "l1", here(), "l3", 0);
    CALL(symlink, "l1", "s1"), CALL(symlinkat, "../etc/x", AT_FDCWD, "s2"), CALL(symlink, "/abs", "l1");
    CALL(link, "s1", "l4"), CALL(linkat, AT_FDCWD, "s1", AT_FDCWD, "l5", AT_SYMLINK_FOLLOW);
}

static void do_chmod(void) {
    int fd = file("m1");
    fchmod(fd, 0640);
    if (symlink("m1", "m-link")) perror("symlink");
    printf("chmod 0\n");
    CALL(chmod, "m-link", 0600), CALL(chmod, "none", 0), CALL(fchmod, fd, 04711), CALL(fchmod, 77, 0644);
    CALL(fchmodat, here(), "m1", 0644), CALL(fchmodat2, AT_FDCWD, "m1", 0400, 0);
}

static void do_chown(void) {
    int fd = file("o1"), own = getuid();
    if (symlink("o1", "o-link")) perror("symlink");
    CALL(chown, "o-link", own, -1), CALL(chown, "none", 0, 0), CALL(lchown, "o-link", -1, -1);
    CALL(fchown, fd, own, -1), CALL(fchownat, here(), "o-link", own, -1, AT_SYMLINK_NOFOLLOW);
    CALL(fchownat, fd, "", -1, -1, AT_EMPTY_PATH);
#ifdef SYS_chown32
    CALL(chown32, "o1", own, -1), CALL(lchown32, "o-link", 70000, -1), CALL(fchown32, fd, own, -1);
#endif
}

static void do_utimes(void) {
    int fd = file("t1");
    if (symlink("t1", "t-link")) perror("symlink");
    CALL(utime, "t-link", NULL), CALL(utime, "none", NULL), CALL(utimes, "t1", NULL);
    CALL(futimesat, here(), "t1", NULL), CALL(futimesat, fd, NULL, NULL);
    CALL(utimensat, here(), "t-link", NULL, AT_SYMLINK_NOFOLLOW), CALL(utimensat, fd, NULL, NULL, 0);
    CALL(utimensat, AT_FDCWD, "none", NULL, 0), CALL(utimensat, AT_FDCWD, NULL, NULL, 0);
#ifdef SYS_utimensat_time64
    CALL(utimensat_time64, AT_FDCWD, "t1", NULL, 0);
#endif
}

static void do_chdir(void) {
    int fd = here();
    if (mkdir("c1", 0755) || symlink("c1", "c-link")) perror("c1");
    CALL(chdir, "c-link"), CALL(chdir, "none"), CALL(fchdir, fd), CALL(fchdir, 77);
}

static void do_xattr(void) {
    int fd = file("x1");
    if (symlink("x1", "x-link")) perror("symlink");
    CALL(setxattr, "x-link", "user.one", "1", 1, 0), CALL(setxattr, "none", "user.one", "1", 1, 0);
    CALL(lsetxattr, "x-link", "user.two", "1", 1, 0), CALL(fsetxattr, fd, "user.three", "1", 1, 0);
    CALL(removexattr, "x1", "user.one"), CALL(lremovexattr, "x-link", "user.two");
    CALL(fremovexattr, fd, "user.three"), CALL(fremovexattr, fd, "user.none");
}

static void do_mount(void) {
    if (mkdir("mnt", 0755) || mkdir("src", 0755) || symlink("mnt", "mnt-link")) perror("mnt");
    CALL(mount, "none", "mnt-link", "tmpfs", 0, NULL), CALL(mount, "src", "mnt", NULL, MS_BIND, NULL);
    CALL(mount, "/none", "missing", "ext4", 0, NULL);
    umount2("mnt", 0), umount2("mnt", 0);
}

/* --- identities and limits --- */

static void drop_uid(void) {
    CALL(setuid, NOBODY), CALL(setuid, 0);
    close(file("dropped"));
}
static void drop_reuid(void) { CALL(setreuid, -1, 1000), CALL(setreuid, 17, -1); }
static void drop_resuid(void) { CALL(setresuid, 1000, 1001, 1002), CALL(setresuid, -1, 0, -1); }
/* These two return what was before, whether they do anything or not. */
static void drop_fsuid(void) {
    show("setfsuid", 0 * syscall(SYS_setfsuid, NOBODY)), CALL(setresuid, 1000, 1000, 1000);
    syscall(SYS_setfsuid, 77), printf("setfsuid %d\n", -EPERM), fflush(stdout);
}
static void drop_gid(void) {
    CALL(setgid, NOBODY), CALL(setregid, -1, 1000), CALL(setresgid, 5, 6, 7);
    show("setfsgid", 0 * syscall(SYS_setfsgid, 8));
}

static void do_setuid(void) {
    chmod(".", 0777);
    in_child(drop_uid), in_child(drop_reuid), in_child(drop_resuid), in_child(drop_fsuid);
#ifdef SYS_setuid32
    CALL(setreuid32, -1, 0);
#endif
}
static void do_setgid(void) { in_child(drop_gid); }

static void change_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{1 << CAP_NET_RAW, 1 << CAP_NET_RAW | 1 << CAP_CHOWN, 0}, {0, 0, 0}};
    CALL(capset, &header, data);
    data[0].permitted = 1 << CAP_SYS_ADMIN;
    data[1].effective = data[1].permitted = 1 << (CAP_BPF - 32);
    CALL(capset, &header, data);
}
static void do_capset(void) { in_child(change_capabilities); }

static void do_setrlimit(void) {
    unsigned long limit[2] = {0, ~0UL}, bad[2] = {2, 1};
    uint64_t limit64[2] = {0, 0}, old[2];
    CALL(setrlimit, RLIMIT_CORE, limit), CALL(setrlimit, RLIMIT_NOFILE, bad);
    CALL(prlimit64, 0, RLIMIT_CORE, limit64, old), CALL(prlimit64, NO_PID, RLIMIT_CPU, limit64, NULL);
    syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, old); /* reads only */
}

static void do_prctl(void) {
    CALL(prctl, PR_SET_NAME, "exactly-15-long"), CALL(prctl, PR_SET_NAME, "[kworker/0:1-events]");
    CALL(prctl, PR_GET_DUMPABLE, 0), CALL(prctl, PR_SET_PDEATHSIG, 999);
}

static void be_traced(void) { CALL(ptrace, PTRACE_TRACEME, 0, 0, 0); }

static void do_ptrace(void) {
    in_child(be_traced);
    CALL(ptrace, PTRACE_POKEDATA, getppid(), 0x1234, 0);
    CALL(ptrace, PTRACE_ATTACH, NO_PID, 0, 0);
}

static void wait_for_ever(void) { pause(); }
static void kill_itself(void) { printf("kill 0\n"), fflush(stdout), syscall(SYS_kill, getpid(), SIGKILL); }

static void do_signal(void) {
    siginfo_t value;
    int pid = getpid(), pidfd = syscall(SYS_pidfd_open, pid, 0);
    memset(&value, 0, sizeof value);
    value.si_code = SI_QUEUE;
    CALL(kill, pid, 0), CALL(kill, NO_PID, SIGTERM), CALL(tkill, pid, SIGCHLD), CALL(tgkill, pid, pid, SIGURG);
    CALL(rt_sigqueueinfo, pid, SIGWINCH, &value), CALL(rt_tgsigqueueinfo, pid, pid, SIGWINCH, &value);
    CALL(pidfd_send_signal, pidfd, SIGWINCH, NULL, 0), CALL(kill, -NO_PID, 35);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) wait_for_ever();
    CALL(kill, child, SIGKILL);
    waitpid(child, NULL, 0);
    in_child(kill_itself);
}

/* --- memory, modules --- */

static void do_memory(void) {
    int fd = file("code");
    if (ftruncate(fd, 8192)) perror("ftruncate");
    void *plain = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef SYS_mmap2
    unsigned long packed[6] = {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096};
    unsigned long harmless[6] = {0, 4096, PROT_READ, MAP_PRIVATE, fd, 0};
    syscall(SYS_mmap2, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 1);
    syscall(SYS_mmap2, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef SYS_mmap
    syscall(SYS_mmap, packed), syscall(SYS_mmap, harmless);
#else
    syscall(SYS_mmap2, NULL, packed[1], packed[2], packed[3], fd, 1);
    syscall(SYS_mmap2, NULL, harmless[1], harmless[2], harmless[3], fd, 0);
#endif
#else
    syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
    syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
#endif
    CALL(mprotect, plain, 4096, PROT_READ | PROT_EXEC), CALL(mprotect, (void *)4096, 4096, PROT_EXEC);
    CALL(pkey_mprotect, plain, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, -1);
    syscall(SYS_mprotect, plain, 4096, PROT_READ);
}

static void do_bpf(void) {
    union bpf_attr map, program;
    struct bpf_insn code[] = {{BPF_JMP | BPF_CALL, 0, 0, 0, 36}, {BPF_JMP | BPF_CALL, 0, 0, 0, 4},
                              {BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 99}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    memset(&map, 0, sizeof map), memset(&program, 0, sizeof program);
    map.map_type = BPF_MAP_TYPE_ARRAY, map.key_size = 4, map.value_size = 4, map.max_entries = 0;
    strcpy(map.map_name, "a_map");
    program.prog_type = BPF_PROG_TYPE_KPROBE, program.insns = (uintptr_t)code, program.insn_cnt = 4;
    program.license = (uintptr_t)"none", program.expected_attach_type = BPF_CGROUP_DEVICE;
    strcpy(program.prog_name, "a_program");
    CALL(bpf, BPF_MAP_CREATE, &map, sizeof map), CALL(bpf, BPF_PROG_LOAD, &program, sizeof program);
    CALL(bpf, BPF_OBJ_GET, &map, 4);
}

static void do_module(void) {
    int fd = file("my-module.ko");
    if (write(fd, "no ELF", 6) != 6) perror("write");
    CALL(finit_module, fd, "a=1 b=two", 0), CALL(init_module, "no ELF", 6, "c=3"), CALL(delete_module, "no_such", 0);
}

/* --- sockets --- */

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in found;
    memset(&found, 0, sizeof found);
    found.sin_family = AF_INET, found.sin_port = htons(port), found.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return found;
}

static int port_of(int fd) {
    struct sockaddr_in found;
    socklen_t size = sizeof found;
    getsockname(fd, (struct sockaddr *)&found, &size);
    return ntohs(found.sin_port);
}

#ifdef SYS_socketcall
#define SOCKET_CALL(name, ...) \
    show(#name, syscall(SYS_socketcall, SUB_##name, (unsigned long[6]){__VA_ARGS__}))
#define SUB_bind 2
#define SUB_connect 3
#define SUB_accept 5
#define SUB_setsockopt 14
#define SUB_accept4 18
#define POINTER (unsigned long)
#else
#define SOCKET_CALL(name, ...) CALL(name, __VA_ARGS__)
#define POINTER
#endif

static void do_socket(void) {
    struct sockaddr_in address = loopback(0), peer, closed;
    struct sockaddr_in6 six;
    struct sockaddr_un abstract;
    struct sock_filter code[] = {{BPF_LD | BPF_H | BPF_ABS, 0, 0, 12}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x800},
                                 {BPF_RET | BPF_K, 0, 0, 0xffffffff}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog program = {4, code};
    socklen_t size = sizeof peer;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    int second = socket(AF_INET, SOCK_STREAM, 0), sixth = socket(AF_INET6, SOCK_DGRAM, 0);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&six, 0, sizeof six), memset(&abstract, 0, sizeof abstract);
    SOCKET_CALL(bind, listener, POINTER &address, sizeof address);
    address = loopback(port_of(listener));
    listen(listener, 5);
    SOCKET_CALL(bind, other, POINTER &address, sizeof address);
    SOCKET_CALL(connect, client, POINTER &address, sizeof address);
    SOCKET_CALL(accept, listener, POINTER &peer, POINTER &size);
    SOCKET_CALL(connect, second, POINTER &address, sizeof address);
    SOCKET_CALL(accept4, listener, 0, 0, SOCK_CLOEXEC);
    SOCKET_CALL(accept4, 77, 0, 0, 0);
    closed = loopback(1);
    SOCKET_CALL(connect, other, POINTER &closed, sizeof closed);
    SOCKET_CALL(connect, datagram, POINTER &address, sizeof address);
    six.sin6_family = AF_INET6, six.sin6_port = htons(53), six.sin6_addr = in6addr_loopback;
    SOCKET_CALL(connect, sixth, POINTER &six, sizeof six);
    abstract.sun_family = AF_UNIX;
    memcpy(abstract.sun_path, "\0ebpfless-none", 14);
    SOCKET_CALL(connect, local, POINTER &abstract, offsetof(struct sockaddr_un, sun_path) + 14);
    strcpy(abstract.sun_path, "socket");
    SOCKET_CALL(bind, local, POINTER &abstract, sizeof abstract);
    SOCKET_CALL(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, POINTER &program, sizeof program);
    setsockopt(datagram, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(sixth, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &one, sizeof one);
}

static const struct part TABLE[] = {
    {"unlink", do_unlink}, {"rmdir", do_rmdir}, {"rename", do_rename}, {"mkdir", do_mkdir}, {"link", do_link},
    {"chmod", do_chmod}, {"chown", do_chown}, {"utimes", do_utimes}, {"chdir", do_chdir}, {"xattr", do_xattr},
    {"mount", do_mount}, {"setuid", do_setuid}, {"setgid", do_setgid}, {"capset", do_capset},
    {"setrlimit", do_setrlimit}, {"prctl", do_prctl}, {"ptrace", do_ptrace}, {"signal", do_signal},
    {"memory", do_memory}, {"bpf", do_bpf}, {"module", do_module}, {"socket", do_socket},
};

int main(int count, char **names) {
    return do_parts(TABLE, sizeof TABLE / sizeof *TABLE, count, names);
}

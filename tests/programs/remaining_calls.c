/* What calls.c, further_calls.c and network.c leave out of the table of system calls, in the same way: calls that have not
 * been made with success there, or have not failed. Descriptor 77 is none. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "calls.h"

#define NONE 77
#define SIXTEEN "sixteen bytes or"
#define FSCONFIG_SET_STRING 1
#define RESOLVE_NOTHING 0
#define IORING_SETUP_R_DISABLED 64
#define IORING_REGISTER_ENABLE_RINGS 12

#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_removexattrat 466
#endif

static struct { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, RESOLVE_NOTHING };
static struct { uint64_t value; uint32_t size, flags; } attribute = { 0, 1, 0 };
static struct iovec vector = { SIXTEEN, 16 };
static struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
static struct mmsghdr messages[1] = { { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } } };
static char bytes[64];

static void do_opens(void) {
    close(file("o1"));
    CALL(open, "o1", O_RDONLY), CALL(open, "none", O_RDONLY), CALL(open, "o1", O_WRONLY), CALL(open, "no/x", O_WRONLY);
    CALL(openat2, AT_FDCWD, "o1", &how, sizeof how), CALL(openat2, AT_FDCWD, "none", &how, sizeof how);
    CALL(creat, "o2", 0640), CALL(creat, "no/o3", 0600), CALL(openat, AT_FDCWD, "no/y", O_RDWR, 0);
#ifdef SYS_truncate64
    CALL(truncate64, "none", 5, 0);
#endif
}

static char *no_words[] = { "true", NULL };

static void execute(void) {
    CALL(execve, "none", no_words, no_words + 1), CALL(execveat, here(), "none", no_words, no_words + 1, 0);
    syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_words, no_words + 1, 0);
}

static void do_exec(void) { in_child(execute); }

static void do_names(void) {
    CALL(unlinkat, AT_FDCWD, "none", AT_REMOVEDIR), CALL(renameat, AT_FDCWD, "none", AT_FDCWD, "other");
    CALL(mkdirat, AT_FDCWD, "no/d", 0700), CALL(linkat, AT_FDCWD, "none", AT_FDCWD, "other", 0);
    CALL(symlinkat, "target", AT_FDCWD, "no/l"), CALL(fchmodat, AT_FDCWD, "none", 0600);
    CALL(fchmodat2, AT_FDCWD, "none", 0600, 0), CALL(lchown, "none", 0, 0), CALL(fchown, NONE, 0, 0);
    CALL(fchownat, AT_FDCWD, "none", 0, 0, 0), CALL(utimes, "none", NULL), CALL(futimesat, AT_FDCWD, "none", NULL);
}

static void do_attributes(void) {
    int fd = file("a1");
    attribute.value = (uintptr_t)"1";
    CALL(lsetxattr, "a1", "user.one", "1", 1, 0), CALL(setxattrat, AT_FDCWD, "a1", 0, "user.two", &attribute, sizeof attribute);
    CALL(setxattrat, AT_FDCWD, "none", 0, "user.two", &attribute, sizeof attribute);
    CALL(fsetxattr, NONE, "user.three", "1", 1, 0), CALL(lremovexattr, "a1", "user.one");
    CALL(removexattrat, fd, "", AT_EMPTY_PATH, "user.two"), CALL(removexattrat, AT_FDCWD, "none", 0, "user.two");
    CALL(removexattr, "none", "user.one");
}

static void stay_nobody(void) {
    if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)) perror("nobody");
    CALL(setfsuid, 0), CALL(setgid, 0), CALL(setregid, 0, 0), CALL(setresgid, 0, 0, 0), CALL(setfsgid, 0);
}

static void do_identities(void) { in_child(stay_nobody); }

static void do_signals(void) {
    siginfo_t info = { .si_code = SI_QUEUE };
    CALL(tkill, NO_PID, SIGTERM), CALL(tgkill, NO_PID, NO_PID, SIGTERM), CALL(rt_sigqueueinfo, NO_PID, SIGTERM, &info);
    CALL(rt_tgsigqueueinfo, NO_PID, NO_PID, SIGTERM, &info), CALL(pidfd_send_signal, NONE, SIGTERM, NULL, 0);
    CALL(prctl, PR_SET_NAME, 8, 0, 0, 0);
}

static void do_mappings(void) {
#ifdef SYS_mmap2
    unsigned packed[6] = { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 };
#ifdef SYS_mmap
    show("mmap", syscall(SYS_mmap, packed) == -1 ? -1 : 0);
    packed[3] = MAP_PRIVATE, packed[4] = NONE;
    CALL(mmap, packed);
#else
    (void)packed;
#endif
    CALL(mmap2, 0, 4096, PROT_EXEC, MAP_PRIVATE, NONE, 0);
#else
    CALL(mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE, NONE, 0);
#endif
    CALL(pkey_mprotect, 0x1000, 4096, PROT_EXEC, -1);
}

static void mount_in_steps(void) {
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) perror("unshare");
    CALL(fsopen, "no_such", 0), CALL(fsconfig, NONE, FSCONFIG_SET_STRING, "source", "x", 0);
    CALL(open_tree_attr, AT_FDCWD, "s", 1, NULL, 0), CALL(open_tree_attr, AT_FDCWD, "none", 1, NULL, 0);
#ifdef SYS_umount
    CALL(umount, "none");
#endif
}

static void do_mounts(void) {
    if (mkdir("s", 0755)) perror("s");
    in_child(mount_in_steps);
}

static struct sockaddr_un nowhere = { AF_UNIX, "none" };
static struct sock_fprog no_filter;

static void do_sockets(void) {
    struct sockaddr_un own = { AF_UNIX, "socket" };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), option = SO_ATTACH_FILTER;
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, -1);
    struct sock_fprog filter = { 1, &all };
    CALL(bind, fd, &own, sizeof own), CALL(bind, NONE, &own, sizeof own), CALL(listen, fd, 5), CALL(listen, NONE, 5);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CALL(connect, other, &nowhere, sizeof nowhere), CALL(connect, other, &own, sizeof own);
    CALL(accept4, fd, NULL, NULL, 0), CALL(accept4, NONE, NULL, NULL, 0);
    CALL(setsockopt, other, SOL_SOCKET, option, &filter, sizeof filter);
    CALL(setsockopt, NONE, SOL_SOCKET, option, &no_filter, sizeof no_filter);
    CALL(socket, AF_NETLINK, SOCK_RAW, 0), CALL(socket, AF_NETLINK, SOCK_DGRAM, 999);
    CALL(socket, AF_INET, SOCK_RAW, IPPROTO_ICMP), CALL(socket, AF_INET, SOCK_RAW | SOCK_CLOEXEC, 999);
#ifdef SYS_accept
    CALL(accept, NONE, NULL, NULL);
#endif
}

#ifdef SYS_socketcall
#define SUB_CALL(name, number, ...) show(name, syscall(SYS_socketcall, number, (unsigned long[6]){ __VA_ARGS__ }))
#define AT (unsigned long)

static void do_sub_calls(void) {
    SUB_CALL("accept", 5, NONE, 0, 0), SUB_CALL("listen", 4, NONE, 5);
    SUB_CALL("setsockopt", 14, NONE, SOL_SOCKET, SO_ATTACH_FILTER, AT &no_filter, sizeof no_filter);
    SUB_CALL("socket", 1, AF_NETLINK, SOCK_RAW, 0), SUB_CALL("socket", 1, AF_NETLINK, SOCK_DGRAM, 999);
    SUB_CALL("socket", 1, AF_INET, SOCK_RAW, IPPROTO_ICMP), SUB_CALL("socket", 1, AF_INET, SOCK_RAW, 999);
    SUB_CALL("send", 9, NONE, AT bytes, 17, 0), SUB_CALL("sendto", 11, NONE, AT bytes, 17, 0, AT &nowhere, sizeof nowhere);
    SUB_CALL("sendmsg", 16, NONE, AT &message, 0), SUB_CALL("sendmmsg", 20, NONE, AT messages, 1, 0);
    SUB_CALL("recvfrom", 12, NONE, AT bytes, 16, 0, 0, 0), SUB_CALL("recv", 10, NONE, AT bytes, 16, 0);
    SUB_CALL("recvmsg", 17, NONE, AT &message, 0), SUB_CALL("recvmmsg", 19, NONE, AT messages, 1, 0, 0);
}
#else
static void do_sub_calls(void) {}
#endif

static void do_payloads(void) {
    int fd = file("w1");
    CALL(pwrite64, fd, bytes, 16, 0, 0), CALL(pwrite64, NONE, bytes, 16, 0, 0), CALL(writev, NONE, &vector, 1);
    CALL(pwritev, fd, &vector, 1, 0, 0), CALL(pwritev, NONE, &vector, 1, 0, 0);
    CALL(pwritev2, fd, &vector, 1, 0, 0, 0), CALL(pwritev2, NONE, &vector, 1, 0, 0, 0);
    CALL(sendmsg, NONE, &message, 0), CALL(sendmmsg, NONE, messages, 1, 0), CALL(read, NONE, bytes, 16);
    CALL(readv, NONE, &vector, 1), CALL(recvfrom, NONE, bytes, 16, 0, NULL, NULL), CALL(recvmsg, NONE, &message, 0);
    CALL(recvmmsg, NONE, messages, 1, 0, NULL);
}

static void listen_to_nobody(void) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CALL(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, 8);
}

static void do_rings(void) {
    uint32_t parameters[30] = { 0, 0, IORING_SETUP_R_DISABLED };
    in_child(listen_to_nobody);
    int ring = syscall(425, 1, parameters);
    show("io_uring_setup", ring < 0 ? -1 : 0);
    show("io_uring_register", syscall(427, ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
    show("io_uring_register", syscall(427, ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
    show("io_uring_enter", syscall(426, ring, 0, 0, 0, NULL, 0)), show("io_uring_enter", syscall(426, NONE, 0, 0, 0, NULL, 0));
}

static void do_looks(void) {
    int status;
    siginfo_t info;
    pid_t child = fork();
    if (child == 0) pause();
    show("waitid", syscall(SYS_waitid, P_PID, child, &info, WNOHANG | WEXITED, NULL));
    show("wait4", syscall(SYS_wait4, child, &status, WNOHANG, NULL));
    show("waitid", syscall(SYS_waitid, P_PID, NO_PID, &info, WNOHANG | WEXITED, NULL));
    show("wait4", syscall(SYS_wait4, NO_PID, &status, WNOHANG, NULL));
#ifdef SYS_waitpid
    show("waitpid", syscall(SYS_waitpid, child, &status, WNOHANG));
    show("waitpid", syscall(SYS_waitpid, NO_PID, &status, WNOHANG));
#endif
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static void do_clones(void) {
    struct { uint64_t flags, rest[7]; } arguments = { 0x00800000 | CLONE_THREAD, { 0 } };
    CALL(clone, 0x00800000 | CLONE_THREAD, 0, 0, 0, 0), CALL(clone3, &arguments, sizeof arguments);
}

static void do_places(void) {
    unsigned long mask[16];
    show("sched_getaffinity", syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) > 0 ? 0 : -1);
    CALL(sched_setaffinity, 0, sizeof mask, mask);
    CALL(sched_getaffinity, NO_PID, sizeof mask, mask), CALL(sched_setaffinity, NO_PID, sizeof mask, mask);
}

static const struct part TABLE[] = {
    {"opens", do_opens}, {"exec", do_exec}, {"names", do_names}, {"attributes", do_attributes},
    {"identities", do_identities}, {"signals", do_signals}, {"mappings", do_mappings}, {"mounts", do_mounts},
    {"sockets", do_sockets}, {"sub_calls", do_sub_calls}, {"payloads", do_payloads}, {"rings", do_rings},
    {"looks", do_looks}, {"clones", do_clones}, {"places", do_places},
};

int main(int count, char **names) { return do_parts(TABLE, sizeof TABLE / sizeof *TABLE, count, names); }

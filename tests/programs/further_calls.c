/* The system calls that calls.c leaves out, in the same way: new kinds of open and mount, and those whose events are
 * ours (events/own_calls.py). What changes mounts, roots or namespaces happens in a child with mounts of its own. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include "calls.h"

#define KEYCTL_GET_KEYRING_ID 0
#define KEYCTL_READ 11
#define FSCONFIG_SET_FLAG 0
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_CMD_CREATE 6

static struct {
    struct file_handle head;
    unsigned char rest[128];
} handle;

static void folder(const char *name) {
    if (mkdir(name, 0755)) perror(name);
}

/* --- files --- */

static void do_truncate(void) {
    close(file("t1"));
    CALL(truncate, "t1", 3), CALL(truncate, "none", 0);
#ifdef SYS_truncate64
    CALL(truncate64, "t1", 5, 0);
#endif
}

static void do_name_to_handle(void) {
    int mount, fd = file("h1");
    if (symlink("h1", "h-link")) perror("symlink");
    handle.head.handle_bytes = sizeof handle.rest;
    CALL(name_to_handle_at, AT_FDCWD, "h-link", &handle, &mount, 0);
    CALL(name_to_handle_at, here(), "h-link", &handle, &mount, AT_SYMLINK_FOLLOW);
    CALL(name_to_handle_at, AT_FDCWD, "none", &handle, &mount, 0);
    CALL(name_to_handle_at, fd, "", &handle, &mount, AT_EMPTY_PATH);
}

static void open_without_privilege(void) {
    if (setuid(NOBODY)) perror("setuid");
    CALL(open_by_handle_at, AT_FDCWD, &handle, O_WRONLY);
}

static void do_open_by_handle(void) {
    do_name_to_handle();
    printf("- open_by_handle\n");
    CALL(open_by_handle_at, here(), &handle, O_RDONLY);
    in_child(open_without_privilege);
}

static void do_memfd_create(void) { CALL(memfd_create, "jit", 3), CALL(memfd_create, "bad", 0x10000); }

static void do_mknod(void) {
    umask(022);
    CALL(mknod, "p1", S_IFIFO | 0666, 0), CALL(mknod, "p1", S_IFIFO | 0600, 0), CALL(mknod, "f1", 0640, 0);
    CALL(mknodat, here(), "d1", S_IFBLK | 0600, makedev(8, 1027)), CALL(mknodat, AT_FDCWD, "no/d", S_IFCHR, 0);
}

static void do_splice(void) {
    int fds[2], in = file("s1"), out = file("s2");
    if (pipe(fds) || write(in, "hello", 5) != 5) perror("pipe");
    lseek(in, 0, SEEK_SET);
    CALL(splice, in, NULL, fds[1], NULL, 5, 0), CALL(splice, fds[0], NULL, out, NULL, 3, 1);
    CALL(splice, 77, NULL, fds[1], NULL, 5, 0);
}

/* --- mounts and roots --- */

static void with_own_mounts(void) {
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) perror("unshare");
}

static void mount_anew(void) {
    with_own_mounts();
    folder("m1"), folder("m2"), folder("m3"), folder("src");
    if (symlink("m1", "m-link")) perror("symlink");
    int system = syscall(SYS_fsopen, "tmpfs", 0);
    syscall(SYS_fsconfig, system, FSCONFIG_SET_STRING, "source", "/a-source", 0);
    syscall(SYS_fsconfig, system, FSCONFIG_SET_STRING, "mode", "0700", 0);
    syscall(SYS_fsconfig, system, FSCONFIG_SET_FLAG, "ro", NULL, 0);
    syscall(SYS_fsconfig, system, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    int detached = CALL(fsmount, system, 0, 0);
    CALL(move_mount, detached, "", AT_FDCWD, "m-link", 4 | 0x10);
    int copy = CALL(open_tree, AT_FDCWD, "src", 1);
    CALL(move_mount, copy, "", AT_FDCWD, "m2", 4);
    CALL(move_mount, AT_FDCWD, "m1", here(), "m3", 0), CALL(fsmount, 77, 0, 0);
    CALL(open_tree, AT_FDCWD, "none", 1), CALL(move_mount, AT_FDCWD, "m2", AT_FDCWD, "none", 0);
    syscall(SYS_open_tree, AT_FDCWD, "src", 0); /* no mount */
}
static void do_new_mounts(void) { in_child(mount_anew); }

static void unmount(void) {
    with_own_mounts();
    folder("mnt");
    if (symlink("mnt", "mnt-link") || mount("none", "mnt", "tmpfs", 0, NULL)) perror("mnt");
    CALL(umount2, "mnt-link", UMOUNT_NOFOLLOW), CALL(umount2, "mnt-link", MNT_DETACH), CALL(umount2, "none", 0);
#ifdef SYS_umount
    if (mount("none", "mnt", "tmpfs", 0, NULL)) perror("mnt");
    CALL(umount, "mnt");
#endif
}
static void do_umount(void) { in_child(unmount); }

static void change_mounts(void) {
    unsigned long long attributes[4] = {MOUNT_ATTR_NODEV};
    with_own_mounts();
    folder("mnt");
    if (mount("none", "mnt", "tmpfs", 0, NULL)) perror("mnt");
    CALL(mount_setattr, here(), "mnt", AT_RECURSIVE, attributes, sizeof attributes);
    CALL(mount_setattr, AT_FDCWD, "none", 0, attributes, sizeof attributes);
    CALL(fspick, AT_FDCWD, "mnt", 0), CALL(fspick, here(), "none", 0);
}
static void do_mount_attributes(void) { in_child(change_mounts); }

static void change_root(void) {
    CALL(chroot, "none"), CALL(chroot, "r-link");
    if (chdir("/")) perror("chdir");
    CALL(chroot, "inner"), CALL(chroot, ".."); /* the way out */
    if (setuid(NOBODY)) perror("setuid");
    CALL(chroot, ".");
}
static void do_chroot(void) {
    folder("r1"), folder("r1/inner");
    if (symlink("r1", "r-link")) perror("symlink");
    in_child(change_root);
}

static void pivot(void) {
    with_own_mounts();
    folder("new");
    if (mount("none", "new", "tmpfs", 0, NULL)) perror("new");
    folder("new/old");
    CALL(pivot_root, "new", "none"), CALL(pivot_root, "new", "new/old");
}
static void do_pivot_root(void) { in_child(pivot); }

/* --- processes --- */

static char memory[64] = "first|second";

static pid_t sleeper(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) pause(), _exit(0);
    return child;
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void do_process_vm(void) {
    char copy[64];
    struct iovec ours[2] = {{copy, 6}, {copy + 6, 5}}, theirs = {memory, 11};
    pid_t child = sleeper();
    printf("child %d\n", child);
    CALL(process_vm_readv, child, ours, 2, &theirs, 1, 0), CALL(process_vm_writev, child, ours, 2, &theirs, 1, 0);
    CALL(process_vm_writev, getpid(), ours, 1, &theirs, 1, 0), CALL(process_vm_readv, NO_PID, ours, 1, &theirs, 1, 0);
    CALL(process_vm_writev, child, (void *)8, 1, &theirs, 1, 0);
    end(child);
}

static void do_pidfd_getfd(void) {
    int fd = file("shared");
    pid_t child = sleeper();
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    printf("child %d\n", child), printf("fd %d\n", fd);
    CALL(pidfd_getfd, pidfd, fd, 0), CALL(pidfd_getfd, pidfd, 77, 0), CALL(pidfd_getfd, 77, 0, 0);
    end(child);
}

static void leave(void) { CALL(unshare, CLONE_NEWNS | CLONE_NEWUTS), CALL(unshare, 0x10); }
static void leave_without_privilege(void) {
    if (setuid(NOBODY)) perror("setuid");
    CALL(unshare, CLONE_NEWNET);
}
static void do_unshare(void) { in_child(leave), in_child(leave_without_privilege); }

static void enter(void) {
    int names = open("/proc/self/ns/uts", O_RDONLY), pidfd = syscall(SYS_pidfd_open, getppid(), 0);
    printf("child %d\n", getppid());
    CALL(setns, names, 0), CALL(setns, names, CLONE_NEWNET), CALL(setns, pidfd, CLONE_NEWUTS | CLONE_NEWIPC);
    CALL(setns, 77, 0);
}
static void do_setns(void) { in_child(enter); }

static void filter(void) {
    unsigned action = SECCOMP_RET_ALLOW;
    struct sock_filter code = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &code};
    CALL(seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action), CALL(seccomp, SECCOMP_SET_MODE_FILTER, 2, &program);
    CALL(seccomp, SECCOMP_SET_MODE_FILTER, 4, NULL), CALL(seccomp, 99, 0, NULL);
}
static void do_seccomp(void) { in_child(filter); }

static void do_keys(void) {
    CALL(add_key, "user", "a-key", "x", 1, -2), CALL(add_key, "no_such_type", "other", "x", 1, -2);
    CALL(request_key, "user", "a-key", NULL, 0), CALL(request_key, "user", "no-key", NULL, 0);
    CALL(keyctl, KEYCTL_GET_KEYRING_ID, -2, 0), CALL(keyctl, KEYCTL_READ, 0x7ffffff0, NULL, 0);
}

static void do_perf(void) {
    struct perf_event_attr attributes;
    pid_t child = sleeper();
    memset(&attributes, 0, sizeof attributes);
    attributes.type = PERF_TYPE_SOFTWARE, attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK, attributes.exclude_kernel = 1;
    printf("child %d\n", child);
    CALL(perf_event_open, &attributes, 0, -1, -1, 0), CALL(perf_event_open, &attributes, child, -1, -1, 0);
    CALL(perf_event_open, &attributes, NO_PID, -1, -1, 0), CALL(perf_event_open, NULL, -1, 0, -1, 0);
    end(child);
}

static void do_userfaultfd(void) { CALL(userfaultfd, O_CLOEXEC | 1), CALL(userfaultfd, 0x100); }

/* --- who it is --- */

static void do_become(void) {
    prctl(PR_SET_NAME, "disguise");
    close(file("under-another-name"));
    if (setuid(NOBODY)) perror("setuid");
    close(open("as-another-user", O_RDONLY));
}

static const struct part TABLE[] = {
    {"truncate", do_truncate}, {"name_to_handle", do_name_to_handle}, {"open_by_handle", do_open_by_handle},
    {"memfd_create", do_memfd_create}, {"mknod", do_mknod}, {"splice", do_splice}, {"new_mounts", do_new_mounts},
    {"mount_attributes", do_mount_attributes}, {"umount", do_umount}, {"chroot", do_chroot}, {"pivot_root", do_pivot_root}, {"process_vm", do_process_vm},
    {"pidfd_getfd", do_pidfd_getfd}, {"unshare", do_unshare}, {"setns", do_setns}, {"seccomp", do_seccomp},
    {"keys", do_keys}, {"perf", do_perf}, {"userfaultfd", do_userfaultfd}, {"become", do_become},
};

int main(int count, char **names) { return do_parts(TABLE, sizeof TABLE / sizeof *TABLE, count, names); }

/* Opens a name again and again while somebody else makes another file of it, and prints how often it was that of s/f.

   usage: foreseen links|shared|file|memory|mem|orphan|once|child TIMES    in a directory with p/f, s/f, swap/f */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOUGH 101
#define PAGE 4096

static char *name;
static int data = -1;
static pid_t orphan;

static void flip_links(void)
{
    for (;;) {
        rename("swap", "away");
        if (symlink("s", "swap"))
            _exit(1);
        usleep(50);
        unlink("swap");
        rename("away", "swap");
        usleep(50);
    }
}

static void flip_name(void)
{
    for (;;) {
        *(volatile char *)name = 's';
        *(volatile char *)name = 'p';
    }
}

static void flip_file(void)
{
    for (;;) {
        if (pwrite(data, "s", 1, 0) != 1 || pwrite(data, "p", 1, 0) != 1)
            _exit(1);
    }
}

static int flip(void *how)
{
    ((void (*)(void))how)();
    return 0;
}

/* A borrower of our memory that kills the one that waits for it, so that we go on beside it. */
static int outlive(void *how)
{
    kill(getppid(), SIGKILL);
    return flip(how);
}

static int lend_on(void *how)
{
    static char stack[65536];
    clone(outlive, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, how, &orphan);
    return 0;
}

/* Changes the name in a child's memory until it is gone. */
static int write_into(pid_t child)
{
    char path[64];
    int memory, status;
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    memory = open(path, O_RDWR);
    while (pwrite(memory, "s", 1, (off_t)name) == 1 && pwrite(memory, "p", 1, (off_t)name) == 1)
        ;
    return waitpid(child, &status, 0) != child || status;
}

static void *map(int flags, int file)
{
    void *found = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    if (found == MAP_FAILED)
        exit(3);
    return found;
}

int main(int argc, char **argv)
{
    static char stack[65536], own[PAGE];
    struct stat secret, found;
    const char *mode = argc > 1 ? argv[1] : "";
    long times = argc > 2 ? atol(argv[2]) : 0, hits = 0, misses = 0;
    void (*how)(void) = flip_name;
    pid_t child = 0;
    int flags = SIGCHLD;

    name = own;
    strcpy(name, "p/f");
    if (!strcmp(mode, "links")) {
        strcpy(name, "swap/f");
        how = flip_links;
    } else if (!strcmp(mode, "shared")) {
        name = strcpy(map(MAP_SHARED | MAP_ANONYMOUS, -1), "p/f");
    } else if (!strcmp(mode, "file")) {
        data = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (pwrite(data, "p/f", 4, 0) != 4 || ftruncate(data, PAGE))
            return 2;
        name = map(MAP_PRIVATE, data);
        how = flip_file;
    } else if (!strcmp(mode, "memory")) {
        flags |= CLONE_VM;
    }
    if (stat("s/f", &secret))
        return 2;
    if (!strcmp(mode, "mem")) {
        child = fork();
        if (child)
            return write_into(child);
    } else if (!strcmp(mode, "child")) {
        child = fork();
        if (child)
            return waitpid(child, NULL, 0) != child;
        strcpy(name, "p/f");
    } else if (!strcmp(mode, "orphan"))
        clone(lend_on, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)how);
    else if (strcmp(mode, "once"))
        child = clone(flip, stack + sizeof stack, flags, (void *)how);
    for (long at = 0; at < times && (hits < ENOUGH || misses < ENOUGH); at++) {
        int file = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY);
        if (file < 0)
            continue;
        fstat(file, &found);
        if (found.st_ino == secret.st_ino)
            hits++;
        else
            misses++;
        close(file);
    }
    if (child || orphan)
        kill(child ? child : orphan, SIGKILL);
    while (wait(NULL) > 0)
        ;
    printf("%ld %ld\n", hits, misses);
    return 0;
}

/* frenzy DIRECTORY: forty threads at once, each of which opens the file i386-N by int 0x80, tries open by the x32 ABI,
 * opens ring-N through an io_uring, starts a child without a tracer that opens untraced-N, and one by vfork and exec of
 * this program that opens exec-N. Prints how many of each did what they should. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 40, CHILD = 7, I386_OPEN = 5, X32_OPEN = 0x40000002, IO_URING_SETUP = 425, IO_URING_ENTER = 426 };

struct work { char name[512], number[8]; };

static const char *directory, *program;
static pthread_barrier_t barrier;
static int by_i386, by_x32, by_ring, by_untraced, by_exec;
static struct work *works; /* in the low 4 GiB, where int 0x80 can point to */

static void name_file(struct work *work, const char *kind, int number)
{
    snprintf(work->name, sizeof work->name, "%s/%s-%d", directory, kind, number);
}

static long int_80(long number, long a, long b, long c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static int open_by_ring(const char *name)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    int ring = syscall(IO_URING_SETUP, 1, &params);
    if (ring < 0)
        return -1;
    size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    if (size < params.sq_off.array + params.sq_entries * sizeof(uint32_t))
        size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    char *queues = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entry = mmap(NULL, params.sq_entries * sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                                      IORING_OFF_SQES);
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_OPENAT;
    entry->fd = AT_FDCWD;
    entry->addr = (uintptr_t)name;
    entry->open_flags = O_RDONLY;
    *(uint32_t *)(queues + params.sq_off.array) = 0;
    __atomic_store_n((uint32_t *)(queues + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(IO_URING_ENTER, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
        return -1;
    return ((struct io_uring_cqe *)(queues + params.cq_off.cqes))->res;
}

static int status_of(long child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void *act(void *which)
{
    struct work *work = which;
    int number = work - works;
    snprintf(work->number, sizeof work->number, "%d", number);
    pthread_barrier_wait(&barrier);

    name_file(work, "i386", number);
    if (int_80(I386_OPEN, (intptr_t)work->name, O_RDONLY, 0) >= 0)
        __atomic_add_fetch(&by_i386, 1, __ATOMIC_SEQ_CST);
    if (syscall(X32_OPEN, work->name, O_RDONLY) >= 0 || errno == ENOSYS)
        __atomic_add_fetch(&by_x32, 1, __ATOMIC_SEQ_CST);
    name_file(work, "ring", number);
    if (open_by_ring(work->name) >= 0)
        __atomic_add_fetch(&by_ring, 1, __ATOMIC_SEQ_CST);
    name_file(work, "untraced", number);
    long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        syscall(SYS_exit_group, open(work->name, O_RDONLY) < 0 ? 1 : CHILD);
    if (status_of(child) == CHILD)
        __atomic_add_fetch(&by_untraced, 1, __ATOMIC_SEQ_CST);
    child = vfork();
    if (child == 0) {
        execl(program, program, directory, work->number, (char *)NULL);
        _exit(1);
    }
    if (status_of(child) == CHILD)
        __atomic_add_fetch(&by_exec, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    static struct work own;
    program = argv[0];
    directory = argv[1];
    if (argc == 3) {
        name_file(&own, "exec", atoi(argv[2]));
        return open(own.name, O_RDONLY) < 0 ? 1 : CHILD;
    }
    works = mmap(NULL, THREADS * sizeof *works, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int number = 0; number < THREADS; number++)
        pthread_create(&threads[number], NULL, act, &works[number]);
    for (int number = 0; number < THREADS; number++)
        pthread_join(threads[number], NULL);
    printf("i386 %d x32 %d ring %d untraced %d exec %d\n", by_i386, by_x32, by_ring, by_untraced, by_exec);
    return 0;
}

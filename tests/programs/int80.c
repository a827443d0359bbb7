/* int80 DIRECTORY PROGRAM: a 64-bit program that calls open, creat, openat and execve of the i386 ABI by int 0x80.
 * Prints the result of each; the last call becomes PROGRAM with the argument "through-int80". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { I386_OPEN = 5, I386_CREAT = 8, I386_EXECVE = 11, I386_OPENAT = 295 };

struct low { char path[4096], missing[4096], argument[64]; uint32_t vector[4], empty[1]; };

static struct low *low;

static int call(int number, intptr_t a, intptr_t b, intptr_t c, intptr_t d)
{
    int result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static const char *path_of(const char *directory, const char *name)
{
    snprintf(low->path, sizeof low->path, "%s/%s", directory, name);
    return low->path;
}

static void report(const char *what, int result)
{
    printf("%s %d\n", what, result < 0 ? result : 0);
    fflush(stdout);
    if (result >= 0)
        close(result);
}

static void no_such_abi(int number)
{
    (void)number;
    _exit(77);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    low = mmap(NULL, sizeof *low, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    signal(SIGSEGV, no_such_abi);
    report("open", call(I386_OPEN, (intptr_t)path_of(argv[1], "open"), O_RDONLY, 0, 0));
    report("missing", call(I386_OPEN, (intptr_t)path_of(argv[1], "missing"), O_RDONLY, 0, 0));
    report("creat", call(I386_CREAT, (intptr_t)path_of(argv[1], "creat"), 0640, 0, 0));
    report("openat", call(I386_OPENAT, AT_FDCWD, (intptr_t)path_of(argv[1], "openat"), O_RDWR | O_CREAT, 0600));
    report("unreadable", call(I386_OPEN, 8, O_RDONLY, 0, 0));
    strcpy(low->path, "/nonexistent/program");
    strcpy(low->argument, "through-int80");
    low->vector[0] = (uint32_t)(intptr_t)low->path;
    low->vector[1] = (uint32_t)(intptr_t)low->argument;
    report("execve", call(I386_EXECVE, (intptr_t)low->path, (intptr_t)low->vector, (intptr_t)low->empty, 0));
    snprintf(low->path, sizeof low->path, "%s", argv[2]);
    call(I386_EXECVE, (intptr_t)low->path, (intptr_t)low->vector, (intptr_t)low->empty, 0);
    return 1;
}

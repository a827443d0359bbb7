/* tagged PATH: opens PATH by a pointer whose highest byte is a tag, which some processors let programs have; before that it
 * asks the kernel for leave to pass such pointers. Prints whether that was given, and what the open gave. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SET_TAGGED_ADDRESS_CONTROL = 55, TAGGED_ADDRESS_ENABLE = 1 };

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int given = prctl(SET_TAGGED_ADDRESS_CONTROL, TAGGED_ADDRESS_ENABLE, 0, 0, 0) == 0;
    uint64_t pointer = (uint64_t)(uintptr_t)argv[1] | (uint64_t)0x5A << 56;
    long result = syscall(SYS_openat, AT_FDCWD, (uintptr_t)pointer, O_RDONLY);
    printf("%d %d\n", given, result < 0 ? -errno : 0);
    return 0;
}

/* high PATH: opens PATH, whose name lies as high as the kernel puts it for who asks. Prints whether that is above the 47 bits
 * of most processors, and errno. A kernel goes above only where it is asked to (la57 of amd64). */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE 4096

int main(int argc, char **argv)
{
    int bits = sizeof(long) == 8 ? 56 : 31;
    char *name = MAP_FAILED;
    if (argc != 2 || strlen(argv[1]) >= SIZE)
        return 2;
    for (; bits > 24; bits--) {
        char *asked = (char *)((1ul << bits) - (1ul << 20));
        name = mmap(asked, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (name == asked)
            break;
        if (name != MAP_FAILED)
            munmap(name, SIZE);
        name = MAP_FAILED;
    }
    if (name == MAP_FAILED)
        return 3;
    strcpy(name, argv[1]);
    printf("%d %d\n", (uint64_t)(uintptr_t)name >> 47 != 0, open(name, O_RDONLY) < 0 ? errno : 0);
    return 0;
}

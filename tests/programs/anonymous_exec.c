/* anonymous_exec memfd|deleted FILE [ARG...]: executes a copy of FILE from anonymous memory, or FILE after
 * deleting it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static int copy_to_memory(int file)
{
    struct stat attributes;
    int memory = memfd_create("payload", MFD_CLOEXEC);
    off_t offset = 0;
    if (memory < 0 || fstat(file, &attributes))
        return -1;
    while (offset < attributes.st_size)
        if (sendfile(memory, file, &offset, attributes.st_size - offset) <= 0)
            return -1;
    return memory;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int file = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (strcmp(argv[1], "memfd") == 0)
        file = copy_to_memory(file);
    else if (unlink(argv[2]))
        return 3;
    fexecve(file, argv + 2, environ);
    perror("fexecve");
    return 1;
}

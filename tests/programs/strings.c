/* strings DIRECTORY NESTED LATIN: opens paths that are hard to read for a tracer and prints the result of each.
 * NESTED is an existing file whose path gets padded to 4,095 bytes, LATIN one whose name is not UTF-8. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void try_open(const char *what, const char *path)
{
    int fd = open(path, O_RDONLY);
    printf("%s %d\n", what, fd < 0 ? -errno : 0);
    if (fd >= 0)
        close(fd);
}

/* DIRECTORY/edge, its NUL being the last byte before an unmapped page */
static void open_at_page_end(const char *directory)
{
    long page = sysconf(_SC_PAGESIZE);
    char path[4096];
    snprintf(path, sizeof path, "%s/edge", directory);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + page, page);
    char *start = pages + page - strlen(path) - 1;
    strcpy(start, path);
    try_open("edge", start);
}

/* `path` made `length` bytes long by slashes before its last name */
static void open_padded(const char *what, const char *path, size_t length)
{
    char padded[8192];
    const char *name = strrchr(path, '/') + 1;
    size_t head = name - path, fill = length - strlen(path);
    memcpy(padded, path, head);
    for (size_t i = 0; i < fill; i++)
        padded[head + i] = i % 2 == fill % 2 ? '.' : '/';
    if (fill % 2)
        padded[head] = '/';
    strcpy(padded + head + fill, name);
    if (strlen(padded) == length)
        try_open(what, padded);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    open_at_page_end(argv[1]);
    open_padded("long", argv[2], 4095);
    open_padded("too-long", argv[2], 4096);
    try_open("latin", argv[3]);
    try_open("unreadable", (const char *)8);
    return 0;
}

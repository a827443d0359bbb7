/* zombie PATH: leaves one child unwaited for, prints "ready <pid>", then for each byte of standard input opens PATH and
 * prints the errno, 0 for none. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char byte;
    pid_t child = fork();
    if (argc != 2)
        return 2;
    if (child == 0)
        _exit(0);
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    while (read(0, &byte, 1) == 1) {
        if (byte == '\n')
            continue;
        int file = open(argv[1], O_RDONLY);
        printf("%d\n", file < 0 ? errno : 0);
        fflush(stdout);
        close(file);
    }
    return 0;
}

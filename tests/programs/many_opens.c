/* many_opens PATH COUNT: opens PATH COUNT times, prints "done <pid>", and ends with its standard input. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char byte;
    if (argc != 3)
        return 2;
    for (int i = 0; i < atoi(argv[2]); i++) {
        int fd = open(argv[1], O_RDONLY);
        if (fd < 0)
            return 3;
        close(fd);
    }
    printf("done %d\n", getpid());
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

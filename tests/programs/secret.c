/* secret write|sendto|socketcall PORT: sends a question of DNS, whose bytes, or whose address, or whose arguments lie in memory
 * that only the kernel can read (memfd_secret), to PORT of 127.0.0.1, and prints how many bytes went; or "none".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MEMFD_SECRET = 447, PAGE = 4096 };

static const unsigned char question[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0";

static void *secret(void)
{
    int file = syscall(MEMFD_SECRET, 0);
    if (file < 0 || ftruncate(file, PAGE))
        return NULL;
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int main(int argc, char **argv)
{
    char *memory = secret();
    long sent = -1;
    if (argc != 3 || !memory) {
        puts("none");
        return 0;
    }
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!strcmp(argv[1], "write")) {
        memcpy(memory, question, sizeof(question));
        connect(udp, (struct sockaddr *)&there, sizeof(there));
        sent = write(udp, memory, sizeof(question));
    } else if (!strcmp(argv[1], "sendto")) {
        memcpy(memory, &there, sizeof(there));
        sent = sendto(udp, question, sizeof(question), 0, (struct sockaddr *)memory, sizeof(there));
    }
#ifdef SYS_socketcall
    else {
        long arguments[] = {udp, (long)question, sizeof(question), 0, (long)&there, sizeof(there)};
        memcpy(memory, arguments, sizeof(arguments));
        sent = syscall(SYS_socketcall, 11, memory);
    }
#endif
    printf("%ld\n", sent < 0 ? (long)-errno : sent);
    return 0;
}

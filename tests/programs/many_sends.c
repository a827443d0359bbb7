/* many_sends COUNT: sends COUNT empty messages to a socket of its own, sixteen at a time. Prints how many were sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { AT_ONCE = 16 };

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct mmsghdr messages[AT_ONCE];
    socklen_t size = sizeof address;
    long left = argc == 2 ? atol(argv[1]) : 0, sent = 0;
    int file = socket(AF_INET, SOCK_DGRAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(file, (struct sockaddr *)&address, size) != 0 || getsockname(file, (struct sockaddr *)&address, &size) != 0)
        return 1;
    memset(messages, 0, sizeof messages);
    for (int place = 0; place < AT_ONCE; place++) {
        messages[place].msg_hdr.msg_name = &address;
        messages[place].msg_hdr.msg_namelen = sizeof address;
    }
    while (left > 0) {
        int done = sendmmsg(file, messages, left < AT_ONCE ? left : AT_ONCE, 0);
        if (done <= 0)
            return 2;
        sent += done;
        left -= done;
    }
    printf("%ld\n", sent);
    return 0;
}

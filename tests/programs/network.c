/* Sends and receives by each system call there is for it, by its number, and prints "name result" of each.
 *
 * usage: network PART... (or: write FILE TEXT) in a network namespace of its own whose lo is up.
 * Every question has the name of its call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static long show(const char *name, long result) {
    if (result == -1) result = -errno;
    printf("%s %ld\n", name, result);
    fflush(stdout);
    return result;
}
#define CALL(name, ...) show(#name, syscall(SYS_##name, __VA_ARGS__))

#ifdef SYS_socketcall
enum { SUB_socket = 1, SUB_connect = 3, SUB_listen = 4, SUB_send = 9, SUB_recv = 10, SUB_sendto = 11, SUB_recvfrom = 12,
       SUB_sendmsg = 16, SUB_recvmsg = 17, SUB_recvmmsg = 19, SUB_sendmmsg = 20 };
#define SUB_CALL(name, ...) \
    show("sub-" #name, syscall(SYS_socketcall, SUB_##name, (unsigned long[6]){__VA_ARGS__}))
#define POINTER (unsigned long)
#endif

static struct sockaddr_in to(const char *ip, int port) {
    struct sockaddr_in found;
    memset(&found, 0, sizeof found);
    found.sin_family = AF_INET, found.sin_port = htons(port);
    inet_pton(AF_INET, ip, &found.sin_addr);
    return found;
}

static int bound(int type, const char *ip, int port) {
    struct sockaddr_in address = to(ip, port);
    int fd = socket(AF_INET, type, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || (type == SOCK_STREAM && listen(fd, 9))) {
        perror("bind");
        exit(9);
    }
    return fd;
}

static int connected(int type, const char *ip, int port) {
    struct sockaddr_in address = to(ip, port);
    int fd = socket(AF_INET, type, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        exit(9);
    }
    return fd;
}

/* The question for TXT of LABEL.example; its bytes. */
static size_t question(unsigned char *message, const char *label) {
    static const unsigned char head[12] = {0x12, 0x34, 1, 0, 0, 1};
    static const unsigned char tail[] = {7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 16, 0, 1};
    size_t length = strlen(label);
    memcpy(message, head, 12);
    message[12] = length;
    memcpy(message + 13, label, length);
    memcpy(message + 13 + length, tail, sizeof tail);
    return 13 + length + sizeof tail;
}

static unsigned char bytes[2][512];
static struct iovec pieces[2][2];
static struct mmsghdr several[2];

/* Two messages, each in two pieces: the questions for these labels. */
static void prepare(const char *first, const char *second, void *address, size_t length) {
    const char *labels[2] = {first, second};
    memset(several, 0, sizeof several);
    for (int at = 0; at < 2; at++) {
        size_t size = question(bytes[at], labels[at]);
        pieces[at][0] = (struct iovec){bytes[at], 5}, pieces[at][1] = (struct iovec){bytes[at] + 5, size - 5};
        several[at].msg_hdr.msg_iov = pieces[at], several[at].msg_hdr.msg_iovlen = 2;
        several[at].msg_hdr.msg_name = address, several[at].msg_hdr.msg_namelen = length;
    }
}

static void do_questions(void) {
    unsigned char data[512];
    struct sockaddr_in server = to("127.0.0.1", 53), other = to("127.0.0.1", 5300), far = to("127.255.255.255", 53);
    int listening = bound(SOCK_DGRAM, "127.0.0.1", 53), fd = connected(SOCK_DGRAM, "127.0.0.1", 53);
    int loose = socket(AF_INET, SOCK_DGRAM, 0), pair[2];
    if (pipe(pair)) perror("pipe");
    CALL(write, fd, data, question(data, "write"));
    prepare("writev", "none", NULL, 0);
    CALL(writev, fd, pieces[0], 2);
    CALL(sendto, fd, data, question(data, "sendto"), 0, NULL, 0);
    prepare("sendmsg", "none", NULL, 0);
    CALL(sendmsg, fd, &several[0].msg_hdr, 0);
    prepare("sendmmsg", "second", NULL, 0);
    CALL(sendmmsg, fd, several, 2, 0);
    CALL(sendto, loose, data, question(data, "addressed"), 0, &server, sizeof server);
    prepare("header", "none", &server, sizeof server);
    CALL(sendmsg, loose, &several[0].msg_hdr, 0);
    CALL(sendto, loose, data, question(data, "refused"), 0, &far, sizeof far);
    CALL(write, pair[1], data, question(data, "pipe"));
    CALL(write, fd, "a text that is no question", 26);
    CALL(write, fd, data, 16), CALL(write, fd, (void *)8, 40);
    CALL(sendto, loose, data, question(data, "elsewhere"), 0, &other, sizeof other);
    CALL(write, dup2(fd, 77), data, question(data, "duplicate"));
    fflush(stdout);
    if (fork() == 0) _exit(CALL(write, fd, data, question(data, "child")) < 0);
    wait(NULL);
#ifdef SYS_socketcall
    SUB_CALL(send, fd, POINTER data, question(data, "sub-send"), 0);
    SUB_CALL(sendto, loose, POINTER data, question(data, "sub-sendto"), 0, POINTER &server, sizeof server);
    prepare("sub-sendmsg", "sub-second", NULL, 0);
    SUB_CALL(sendmsg, fd, POINTER &several[0].msg_hdr, 0);
    SUB_CALL(sendmmsg, fd, POINTER several, 2, 0);
#endif
    if (connect(fd, (struct sockaddr *)&other, sizeof other)) perror("connect");
    CALL(write, fd, data, question(data, "reconnected"));
    close(fd), close(listening);
    if (dup2(pair[1], fd) < 0) perror("dup2");
    CALL(write, fd, data, question(data, "closed"));
}

/* The server answers the question that waits for it: there is no such name. */
static void answer(int server) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    unsigned char data[512];
    ssize_t length = recvfrom(server, data, sizeof data, 0, (struct sockaddr *)&peer, &size);
    data[2] = 0x81, data[3] = 0x83;
    if (sendto(server, data, length, 0, (struct sockaddr *)&peer, size) != length) perror("answer");
}

static void ask(int fd, int server, const char *label) {
    unsigned char data[512];
    if (send(fd, data, question(data, label), 0) < 0) perror("ask");
    answer(server);
}

static void do_answers(void) {
    unsigned char data[512];
    struct sockaddr_in address = to("127.0.0.1", 53);
    int server = bound(SOCK_DGRAM, "127.0.0.1", 53), fd = connected(SOCK_DGRAM, "127.0.0.1", 53);
    int loose = socket(AF_INET, SOCK_DGRAM, 0);
    ask(fd, server, "read"), CALL(read, fd, data, sizeof data);
    prepare("", "", NULL, 0), pieces[0][1].iov_len = 400;
    ask(fd, server, "readv"), CALL(readv, fd, pieces[0], 2);
    ask(fd, server, "recvfrom"), CALL(recvfrom, fd, data, sizeof data, MSG_PEEK, NULL, NULL);
    CALL(recvfrom, fd, data, sizeof data, 0, NULL, NULL);
    ask(fd, server, "recvmsg"), CALL(recvmsg, fd, &several[0].msg_hdr, 0);
    ask(fd, server, "recvmmsg"), ask(fd, server, "second");
    prepare("", "", NULL, 0), pieces[0][1].iov_len = pieces[1][1].iov_len = 400;
    CALL(recvmmsg, fd, several, 2, 0, NULL);
    ask(fd, server, "short"), CALL(recvfrom, fd, data, 11, 0, NULL, NULL);
    if (sendto(loose, data, question(data, "loose"), 0, (struct sockaddr *)&address, sizeof address) < 0)
        perror("loose");
    answer(server), CALL(recvfrom, loose, data, sizeof data, 0, NULL, NULL);
#ifdef SYS_recvmmsg_time64
    ask(fd, server, "time64"), CALL(recvmmsg_time64, fd, several, 1, 0, NULL);
#endif
#ifdef SYS_socketcall
    ask(fd, server, "sub-recv"), SUB_CALL(recv, fd, POINTER data, sizeof data, 0);
    ask(fd, server, "sub-recvfrom"), SUB_CALL(recvfrom, fd, POINTER data, sizeof data, 0, 0, 0);
    ask(fd, server, "sub-recvmsg"), SUB_CALL(recvmsg, fd, POINTER &several[0].msg_hdr, 0);
    ask(fd, server, "sub-recvmmsg"), SUB_CALL(recvmmsg, fd, POINTER several, 1, 0, 0);
#endif
}

static size_t framed(unsigned char *data, const char *label) {
    size_t length = question(data + 2, label);
    data[0] = length >> 8, data[1] = length & 255;
    return length + 2;
}

static void do_stream(void) {
    unsigned char data[512], got[512];
    int server = bound(SOCK_STREAM, "127.0.0.1", 53), fd = connected(SOCK_STREAM, "127.0.0.1", 53);
    int accepted = accept(server, NULL, NULL);
    CALL(write, fd, data, framed(data, "framed"));
    size_t first = framed(data, "first"), length = first + framed(data + first, "other");
    CALL(write, fd, data, length);
    length = question(data, "bare");
    unsigned char size[2] = {0, length};
    CALL(write, fd, size, 2), CALL(write, fd, data, length);
    data[2] = 0x81, data[3] = 0x80;
    if (write(accepted, size, 2) != 2 || write(accepted, data, length) != (ssize_t)length) perror("answer");
    CALL(read, fd, got, 2), CALL(read, fd, got, length);
}

static void do_metadata(void) {
    static const char *const requests[] = {
        "GET /latest/meta-data/iam/security-credentials/role HTTP/1.1\r\nHost: 169.254.169.254\r\n"
        "User-Agent: mill/17\r\n\r\n",
        "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-ec2-metadata-token-ttl-seconds: 17\r\n\r\n",
        "GET /computeMetadata/v1/ HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n", "not a request of any kind\r\n\r\n"};
    static const char reply[] = "HTTP/1.1 200 OK\r\nServer: EC2ws\r\n\r\n"
        "{\"Code\" : \"Success\", \"Type\" : \"AWS-HMAC\","
        "\"AccessKeyId\" : \"ASIAEXAMPLE17\", \"SecretAccessKey\" : \"xSECRETx\", \"Token\" : \"xSECRETx\","
        "\"LastUpdated\" : \"2026-01-02T03:04:05Z\", \"Expiration\" : \"2026-01-02T09:04:05Z\"}";
    char data[1024];
    int server = bound(SOCK_STREAM, "169.254.169.254", 80), fd = connected(SOCK_STREAM, "169.254.169.254", 80);
    int accepted = accept(server, NULL, NULL);
    CALL(write, fd, requests[0], strlen(requests[0]));
    struct iovec parts[2] = {{(void *)requests[1], 10}, {(void *)(requests[1] + 10), strlen(requests[1]) - 10}};
    CALL(writev, fd, parts, 2);
    CALL(sendto, fd, requests[2], strlen(requests[2]), 0, NULL, 0);
    CALL(write, fd, requests[3], strlen(requests[3]));
    if (write(accepted, reply, sizeof reply - 1) < 0) perror("reply");
    CALL(recvfrom, fd, data, sizeof data, 0, NULL, NULL);
}

static void do_sockets(void) {
    struct sockaddr_in server = to("127.0.0.1", 5300);
    struct sockaddr_in6 six;
    struct sockaddr_un named;
    int fd = bound(SOCK_DGRAM, "127.0.0.1", 5300), stream = socket(AF_INET, SOCK_STREAM, 0);
    int sixth = socket(AF_INET6, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_DGRAM, 0);
    memset(&six, 0, sizeof six), memset(&named, 0, sizeof named);
    server.sin_port = htons(5300);
    CALL(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), CALL(socket, AF_PACKET, SOCK_DGRAM, 0x0300);
    CALL(socket, AF_INET, SOCK_RAW, IPPROTO_ICMP), CALL(socket, AF_INET, SOCK_STREAM, 0), CALL(socket, 77, SOCK_RAW, 0);
    CALL(socket, AF_INET, SOCK_PACKET | SOCK_NONBLOCK, 0x0300);
    server.sin_port = htons(5301);
    if (bind(stream, (struct sockaddr *)&server, sizeof server)) perror("bind");
    CALL(listen, stream, 17), CALL(listen, fd, 3), CALL(listen, 99, 3);
    named.sun_family = AF_UNIX;
    memcpy(named.sun_path, "\0mill", 5);
    int abstract = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(abstract, (struct sockaddr *)&named, offsetof(struct sockaddr_un, sun_path) + 5)) perror("bind");
    CALL(listen, abstract, 5);
    server.sin_port = htons(5300);
    CALL(sendto, fd, "seven..", 7, 0, &server, sizeof server), CALL(sendto, local, "x", 1, 0, &named, 7);
    six.sin6_family = AF_INET6, six.sin6_port = htons(5300), six.sin6_addr = in6addr_loopback;
    CALL(sendto, sixth, "seventeen bytes..", 17, 0, &six, sizeof six);
    prepare("a", "b", &server, sizeof server);
    CALL(sendmsg, fd, &several[0].msg_hdr, 0), CALL(sendmmsg, fd, several, 2, 0);
    memset(&named.sun_path, 0, sizeof named.sun_path), strcpy(named.sun_path, "/nonexistent");
    CALL(sendto, local, "xyz", 3, 0, &named, sizeof named);
#ifdef SYS_socketcall
    SUB_CALL(socket, AF_NETLINK, SOCK_RAW, 0), SUB_CALL(socket, AF_INET, SOCK_DGRAM, 0);
    SUB_CALL(listen, stream, 5), SUB_CALL(sendto, fd, POINTER "eleven bytes", 11, 0, POINTER &server, sizeof server);
#endif
}

/* network write FILE TEXT: by every call that writes. */
static void write_into(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) perror(path);
    CALL(write, fd, text, strlen(text));
    struct iovec parts[2] = {{(void *)text, 1}, {(void *)(text + 1), strlen(text) - 1}};
    CALL(pwrite64, fd, text, strlen(text), 0, 0), CALL(writev, fd, parts, 2);
    CALL(pwritev, fd, parts, 2, 0, 0);
    close(fd);
}

static const struct {
    const char *name;
    void (*act)(void);
} TABLE[] = {
    {"questions", do_questions}, {"answers", do_answers}, {"stream", do_stream}, {"metadata", do_metadata},
    {"sockets", do_sockets},
};

int main(int count, char **names) {
    if (count == 4 && !strcmp(names[1], "write")) write_into(names[2], names[3]), exit(0);
    for (int at = 1; at < count; at++)
        for (size_t row = 0; row < sizeof TABLE / sizeof *TABLE; row++)
            if (!strcmp(TABLE[row].name, names[at])) TABLE[row].act();
    return 0;
}

/*
 * The lower bound: one loop over epoll in one thread, which formats the time once a second.
 * "epoll lines" puts a stamp before each line; without the argument, one before the data of each read.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STAMP 27
#define READ (64 * 1024)
#define READ_OF_LINES (16 * 1024)  /* so that the answers stay in the cache */
#define DESCRIPTORS (1 << 20)

static char data[READ];
static char answer[READ_OF_LINES * (STAMP + 1) + READ];
static bool inside_line[DESCRIPTORS];

static const char *stamp(void)
{
    static char text[STAMP + 3];
    static time_t then;
    time_t now = time(NULL);
    if (now != then) {
        then = now;
        snprintf(text, sizeof text, "[%.24s] ", ctime(&now));
    }
    return text;
}

static size_t answer_chunk(size_t length)
{
    memcpy(answer, stamp(), STAMP);
    memcpy(answer + STAMP, data, length);
    return STAMP + length;
}

static size_t answer_lines(int fd, size_t length)
{
    const char *now = stamp(), *next = data, *end = data + length;
    char *to = answer;
    while (next < end) {
        if (!inside_line[fd]) {
            memcpy(to, now, STAMP);
            to += STAMP;
        }
        const char *newline = memchr(next, '\n', (size_t)(end - next));
        size_t part = (size_t)((newline ? newline + 1 : end) - next);
        memcpy(to, next, part);
        to += part;
        next += part;
        inside_line[fd] = newline == NULL;
    }
    return (size_t)(to - answer);
}

/* Blocks for a client that does not read, and with it all others: fit for a benchmark only. */
static bool send_all(int fd, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t part = send(fd, answer + sent, length - sent, MSG_NOSIGNAL);
        if (part >= 0) {
            sent += (size_t)part;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
        } else {
            return false;
        }
    }
    return true;
}

int main(int count, char **words)
{
    const bool lines = count > 1 && strcmp(words[1], "lines") == 0;
    const int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int epoll = epoll_create1(0);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0
        || getsockname(listener, (struct sockaddr *)&address, &length) < 0
        || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("cannot listen");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (fd >= DESCRIPTORS) {
                        close(fd);
                        continue;
                    }
                    inside_line[fd] = false;
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                    event.data.fd = fd;
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            ssize_t got = recv(fd, data, lines ? READ_OF_LINES : READ, 0);
            if (got <= 0 || !send_all(fd, lines ? answer_lines(fd, (size_t)got) : answer_chunk((size_t)got)))
                close(fd);
        }
    }
}

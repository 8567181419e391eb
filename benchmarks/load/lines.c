/* One connection that sends lines as fast as they are answered, and checks every byte of the answers. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINES 65536           /* different lines, sent in turn */
#define WINDOW (256 * 1024)   /* bytes that are sent ahead of the answers */

static char answers[1 << 20];

static char *random_lines(size_t size)
{
    char *lines = malloc(LINES * size);
    if (lines == NULL)
        fail("out of memory");
    for (size_t at = 0; at < LINES * size; at++)
        lines[at] = (at + 1) % size == 0 ? '\n' : "abcdefghijklmnopqrstuvwxyz012345"[chance() >> 59];
    return lines;
}

void measure_lines(size_t size, double seconds)
{
    const char *lines = random_lines(size);
    const time_t earliest = time(NULL);
    const size_t total = LINES * size;
    size_t sent = 0, answered = 0, kept = 0;  /* bytes sent, lines answered, bytes of a part of an answer */
    struct pollfd connection = {.fd = connecting_socket(), .events = POLLOUT};
    if (poll(&connection, 1, (int)(PATIENCE * 1000)) != 1)
        fail("cannot connect within %g seconds", PATIENCE);
    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0;
    size_t counted = 0;
    bool counting = false, over = false;
    while (!over || answered * size < sent) {
        /* Once it is over, only the rest of a line is to be sent. */
        size_t room = over ? (size - sent % size) % size : WINDOW - (sent - answered * size);
        connection.events = (short)(POLLIN | (room > 0 ? POLLOUT : 0));
        if (poll(&connection, 1, (int)(PATIENCE * 1000)) != 1)
            fail("no answer within %g seconds", PATIENCE);
        if (connection.revents & POLLOUT && room > 0) {
            size_t at = sent % total;
            size_t part = room < total - at ? room : total - at;
            ssize_t length = send(connection.fd, lines + at, part, MSG_NOSIGNAL);
            if (length < 0)
                fail("cannot send: %s", strerror(errno));
            sent += (size_t)length;
        }
        if (connection.revents & ~POLLOUT) {
            ssize_t length = recv(connection.fd, answers + kept, sizeof answers - kept, 0);
            if (length < 0)
                fail("cannot receive: %s", strerror(errno));
            if (length == 0)
                fail("wrong answer: the end after %zu lines", answered);
            const char *answer = answers;
            for (kept += (size_t)length; kept >= STAMP + size; kept -= STAMP + size, answer += STAMP + size) {
                check_stamp(answer, earliest);
                if (memcmp(answer + STAMP, lines + answered % LINES * size, size) != 0)
                    fail("wrong answer: not the line that was sent");
                answered++;
            }
            if (answered * size > sent)
                fail("wrong answer: more lines than were sent");
            memmove(answers, answer, kept);
        }
        double time = now();
        if (!counting && time >= from) {
            counting = true;
            cpu = server_cpu();
            counted = answered;
            from = time;
            to = from + seconds;
        } else if (counting && !over && time >= to && answered > counted) {
            over = true;
            cpu = server_cpu() - cpu;
            counted = answered - counted;
            to = time;
        }
    }
    if (kept > 0)
        fail("wrong answer: %zu bytes more than were sent", kept);
    printf("{\"lines\": %zu, \"seconds\": %.6f, \"cpu\": %.9f}\n", counted, to - from, cpu);
}

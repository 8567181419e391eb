/* One connection that sends megabytes as fast as they are answered, and checks every byte of the answers. */

#include "load.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PATTERN (1 << 20)          /* bytes, sent again and again; none of them is a '[' */
#define WINDOW ((size_t)4 << 20)   /* bytes that are sent ahead of the answers */

static const char *pattern;
static time_t earliest;
static size_t answered;            /* bytes that have returned, without stamps */

/* Check a part of the answers: stamps are anywhere in it, but one comes first. */
static void check(const char *data, size_t left)
{
    static char stamp[STAMP];
    static size_t received;  /* bytes of a stamp that is not complete */
    static bool begun;
    while (left > 0) {
        size_t part;
        if (received > 0 || *data == '[' || !begun) {
            begun = true;
            part = left < STAMP - received ? left : STAMP - received;
            memcpy(stamp + received, data, part);
            received += part;
            if (received == STAMP) {
                check_stamp(stamp, earliest);
                received = 0;
            }
        } else {
            const char *next = memchr(data, '[', left);
            size_t at = answered % PATTERN;
            part = next ? (size_t)(next - data) : left;
            if (part > PATTERN - at)
                part = PATTERN - at;
            if (memcmp(data, pattern + at, part) != 0)
                fail("wrong answer: not the bytes that were sent");
            answered += part;
        }
        data += part;
        left -= part;
    }
}

void measure_transfer(size_t megabytes)
{
    static char answers[1 << 18];
    const size_t total = megabytes * 1000000;
    size_t sent = 0;
    struct stream stream = {0};
    pattern = random_letters(PATTERN);
    earliest = time(NULL);
    stream_connect(&stream);
    double from = now(), cpu = server_cpu();
    while (answered < total) {
        size_t room = WINDOW - (sent - answered);
        if (room > total - sent)
            room = total - sent;
        short events = stream_wait(&stream, room > 0);
        if (events & POLLOUT && room > 0) {
            size_t at = sent % PATTERN;
            sent += stream_send(&stream, pattern + at, room < PATTERN - at ? room : PATTERN - at);
        }
        if (events & ~POLLOUT) {
            ssize_t length = stream_receive(&stream, answers, sizeof answers);
            if (length == 0)
                fail("wrong answer: the end after %zu bytes", answered);
            if (length > 0)
                check(answers, (size_t)length);
            if (answered > sent)
                fail("wrong answer: more bytes than were sent");
        }
    }
    printf("{\"megabytes\": %zu, \"seconds\": %.6f, \"cpu\": %.9f}\n",
           megabytes, now() - from, server_cpu() - cpu);
}

/* One connection that sends lines as fast as they are answered, and checks every byte of the answers. */

#include "load.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define LINES 65536           /* different lines, sent in turn */
#define WINDOW (256 * 1024)   /* bytes that are sent ahead of the answers */

static char answers[1 << 20];

void measure_lines(size_t size, double seconds)
{
    char *lines = random_letters(LINES * size);
    for (size_t at = size - 1; at < LINES * size; at += size)
        lines[at] = '\n';
    const time_t earliest = time(NULL);
    const size_t total = LINES * size;
    size_t sent = 0, answered = 0, kept = 0;  /* bytes sent, lines answered, bytes of an incomplete answer */
    struct stream stream = {0};
    stream_connect(&stream);
    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0;
    size_t counted = 0;
    bool counting = false, over = false;
    while (!over || answered * size < sent) {
        /* After the measuring, only the rest of a line is sent. */
        size_t room = over ? (size - sent % size) % size : WINDOW - (sent - answered * size);
        short events = stream_wait(&stream, room > 0);
        if (events & POLLOUT && room > 0) {
            size_t at = sent % total;
            size_t part = room < total - at ? room : total - at;
            sent += stream_send(&stream, lines + at, part);
        }
        if (events & ~POLLOUT) {
            ssize_t length = stream_receive(&stream, answers + kept, sizeof answers - kept);
            if (length < 0)
                continue;
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

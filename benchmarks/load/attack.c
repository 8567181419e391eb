/* A polite client beside greedy ones: its latency, and the CPU time that the greedy ones cost the server. */

#define _GNU_SOURCE
#include "attack.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE 0.002  /* seconds between two messages of the polite client */
#define FIRST 10     /* its messages before the others begin: it is an established client */

static size_t newlines(struct stream *stream, char *data)
{
    (void)stream;
    memset(data, '\n', GREEDY_PAYLOAD);
    return GREEDY_PAYLOAD;
}

static size_t bad_header(struct stream *stream, char *data)
{
    static const char header[] = "PROXY TCP4 999.999.999.999 127.0.0.1 99999 99999\r\n";
    (void)stream;
    memcpy(data, header, sizeof header - 1);
    return sizeof header - 1;
}

static const char good_header[] = "PROXY TCP4 127.0.0.1 127.0.0.1 1024 1024\r\n";

static const struct kind kinds[] = {
    {.name = "newlines", .payload = newlines},
    {.name = "one-byte", .payload = stream_one_byte, .fresh = true},
    {.name = "reset", .payload = stream_one_byte, .once = true},
    {.name = "newlines-reset", .payload = newlines, .once = true},
    {.name = "header", .payload = bad_header, .once = true, .preface = good_header},
    {.name = "x25519", .payload = hello_x25519, .once = true},
    {.name = "p384", .payload = hello_p384, .once = true},
    {.name = "p521", .payload = hello_p521, .once = true},
    {.name = "ffdhe8192", .payload = hello_ffdhe8192, .once = true},
};

const struct kind *kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fail("there is no attack called %s", name);
}

/* Send a line, and return the seconds until its answer, or the limit. */
static double ask(struct stream *stream, double limit)
{
    static const char line[] = "a polite client sends this line\n";
    const size_t size = sizeof line - 1;
    char answer[STAMP + sizeof line];
    size_t received = 0;
    double begun = now();
    time_t sent = time(NULL);
    if (stream_send(stream, line, size) != size)
        fail("cannot send: the socket is full");
    while (received < STAMP + size) {
        struct pollfd readable = {.fd = stream->fd, .events = POLLIN};
        double left = begun + limit - now();
        if (left <= 0)
            return limit;
        poll(&readable, 1, (int)(left * 1000) + 1);
        ssize_t length = stream_receive(stream, answer + received, sizeof answer - received);
        if (length == 0)
            fail("wrong answer: the end after %zu bytes", received);
        if (length > 0)
            received += (size_t)length;
    }
    double time = now();
    if (received > STAMP + size || memcmp(answer + STAMP, line, size) != 0)
        fail("wrong answer: not the bytes that were sent");
    check_stamp(answer, sent);
    return time - begun;
}

static pid_t start_greedy(const struct kind *kind, int clients, volatile size_t *bytes)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        fail("cannot fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (nice(19) < 0)  /* the polite client must not wait for these */
            fail("cannot become nice: %s", strerror(errno));
        be_greedy(kind, clients, bytes);
    }
    return pid;
}

void measure_attack(const char *name, int clients, double seconds, double limit)
{
    const struct kind *kind = kind_named(name);
    const struct timespec pause = {.tv_nsec = (long)(PAUSE * 1e9)};
    volatile size_t *bytes = mmap(NULL, sizeof *bytes, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t room = (size_t)(seconds / PAUSE) + 2, messages = 0;
    float *latencies = malloc(room * sizeof *latencies);
    struct stream polite = {0};
    if (bytes == MAP_FAILED || latencies == NULL)
        fail("out of memory");
    stream_connect(&polite);
    if (kind->preface != NULL)
        stream_send(&polite, kind->preface, strlen(kind->preface));
    for (int i = 0; i < FIRST; i++)
        ask(&polite, PATIENCE);
    pid_t greedy = start_greedy(kind, clients, bytes);
    double begun = now();
    while (*bytes == 0 || now() < begun + WARM_UP * seconds) {
        if (now() > begun + PATIENCE || waitpid(greedy, NULL, WNOHANG) != 0)
            fail("the greedy clients have sent nothing");
        nanosleep(&pause, NULL);
    }
    double from = now(), cpu = server_cpu(), latency = 0;
    size_t before = *bytes;
    while (now() < from + seconds && latency < limit && messages < room) {
        latencies[messages++] = (float)(latency = ask(&polite, limit));
        nanosleep(&pause, NULL);
    }
    double to = now();
    cpu = server_cpu() - cpu;
    size_t sent = *bytes - before;
    kill(greedy, SIGKILL);
    waitpid(greedy, NULL, 0);
    if (sent == 0)
        sent = 1;  /* the server has read nothing: the CPU time for each byte is this or more */
    sort_latencies(latencies, messages);
    printf("{\"bytes\": %zu, \"seconds\": %.6f, \"cpu\": %.9f, \"p50\": %.7f, \"p99\": %.7f}\n",
           sent, to - from, cpu, latencies[messages / 2], latencies[messages * 99 / 100]);
}

/* The clocks, the server's CPU and memory, connecting, and stamps. */

#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST_PROCESSES 8

static int server_port;
static int server_pids[MOST_PROCESSES];
static int processes;

void set_server(const char *port, const char *pids)
{
    server_port = atoi(port);
    for (char *end; processes < MOST_PROCESSES; pids = end + 1) {
        server_pids[processes++] = (int)strtol(pids, &end, 10);
        if (*end != ',')
            break;
    }
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) < 0)
        fail("the server has ended");
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double server_cpu(void)
{
    double seconds = 0;
    for (int i = 0; i < processes; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(server_pids[i], &clock) != 0)
            fail("the server has ended");
        seconds += seconds_of(clock);
    }
    return seconds;
}

static long memory_of(int pid)
{
    char path[64], line[256];
    long kibibytes = -1;
    /* statm is faster, but wrong by up to some hundred KiB. */
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail("cannot read %s: %s", path, strerror(errno));
    while (kibibytes < 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Rss: %ld kB", &kibibytes);
    fclose(file);
    if (kibibytes < 0)
        fail("%s has no line with Rss", path);
    return kibibytes * 1024;
}

long server_memory(void)
{
    long bytes = 0;
    for (int i = 0; i < processes; i++)
        bytes += memory_of(server_pids[i]);
    return bytes;
}

uint64_t chance(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;  /* xorshift: Marsaglia, 2003 */
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int ascending(const void *left, const void *right)
{
    float difference = *(const float *)left - *(const float *)right;
    return (difference > 0) - (difference < 0);
}

void sort_latencies(float *latencies, size_t count)
{
    qsort(latencies, count, sizeof *latencies, ascending);
}

char *random_letters(size_t size)
{
    char *letters = malloc(size);
    if (letters == NULL)
        fail("out of memory");
    for (size_t at = 0; at < size; at++)
        letters[at] = "abcdefghijklmnopqrstuvwxyz012345"[chance() >> 59];
    return letters;
}

int connecting_socket(void)
{
    /* Each connection has another client address of 127.0.0.0/8.  A closed connection keeps its port for a
       minute, and thousands of connections a second would use up the ports of one address. */
    static uint32_t client;
    const int yes = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl((127u << 24) + (1 << 16) + (client++ & 0xffff));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)server_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail("cannot make a socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
        fail("cannot bind to %s: %s", inet_ntoa(from.sin_addr), strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail("cannot connect to port %d: %s", server_port, strerror(errno));
    return fd;
}

void check_connected(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0)
        fail("cannot connect: %s", strerror(error));
}

void check_stamp(const char stamp[STAMP], time_t earliest)
{
    static char known[STAMP + 1];
    static time_t known_time;
    if (memcmp(stamp, known, STAMP) != 0) {
        char again[STAMP + 1];
        struct tm fields = {0};
        memcpy(known, stamp, STAMP);
        if (strptime(known, "[%a %b %d %H:%M:%S %Y] ", &fields) == NULL)
            fail("wrong answer: not a stamp: '%s'", known);
        fields.tm_isdst = -1;
        known_time = mktime(&fields);
        strftime(again, sizeof again, "[%a %b %e %H:%M:%S %Y] ", &fields);
        if (strcmp(again, known) != 0)
            fail("wrong answer: not a stamp in the format of ctime(): '%s'", known);
        if (known_time > time(NULL) + 1)
            fail("wrong answer: a stamp of the future: '%s'", known);
    }
    if (known_time < earliest - 1)  /* the clock of time() is coarse: it may be a tick late */
        fail("wrong answer: a stamp from before its message: '%s'", known);
}

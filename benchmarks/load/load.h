/* The load generator: declarations shared by its measures.  Linux only; the server listens on 127.0.0.1. */

#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define STAMP 27        /* bytes of "[Mon Nov 23 08:22:38 2026] " */
#define PATIENCE 30.0   /* seconds without an answer after which a run fails */
#define WARM_UP 0.1     /* the part of a timed run that comes before the counted part and is not counted */

/* common.c */

/* Set the server that is measured: its port, and its process ids separated by commas. */
void set_server(const char *port, const char *pids);

/* Print one line to standard error and exit with status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The monotonic clock, in seconds. */
double now(void);

/* CPU time of the server's processes in seconds, with all threads, ended ones included.  The clock counts
   nanoseconds; /proc counts hundredths of a second and loses ended threads. */
double server_cpu(void);

/* Resident memory of the server's processes, in bytes. */
long server_memory(void);

/* A pseudo-random number; every run has the same sequence. */
uint64_t chance(void);

/* Sort in ascending order. */
void sort_latencies(float *latencies, size_t count);

/* Return so many random lower-case letters and digits. */
char *random_letters(size_t size);

/* Return a new non-blocking TCP socket that is connecting to the server. */
int connecting_socket(void);

/* Fail unless a connecting socket has connected. */
void check_connected(int fd);

/* Fail unless these bytes are a stamp in the format of ctime(), of a time from earliest to now. */
void check_stamp(const char stamp[STAMP], time_t earliest);

/* plain.c or tls.c: a connection to the server.  The program is linked with one of the two. */

struct stream {
    int fd;
    struct ssl_st *tls;
};

/* Begin to connect. */
void stream_open(struct stream *stream);

/* Continue a handshake, once the socket is connected.  Return true when it is complete. */
bool stream_handshake(struct stream *stream);

/* Send what the connection takes now, and return how many bytes those are. */
size_t stream_send(struct stream *stream, const char *data, size_t length);

/* Receive what has arrived.  Return the number of bytes, 0 at the end, and -1 if nothing has arrived. */
ssize_t stream_receive(struct stream *stream, char *data, size_t room);

void stream_close(struct stream *stream);

/* Write to data what goes over the wire for bytes sent one at a time: one byte, or many TLS records of one
   byte.  Return its length, at most 64 KiB. */
size_t stream_one_byte(struct stream *stream, char *data);

/* wait.c: one connection alone. */

/* Open a connection, and wait until data may be sent. */
void stream_connect(struct stream *stream);

/* Wait until data has arrived, or may be sent if sending is true.  Return the events of poll(). */
short stream_wait(struct stream *stream, bool sending);

/* The measures. */

void measure_messages(int connections, int in_flight, size_t size, double seconds);
void measure_churn(int at_once, size_t size, double seconds);
void measure_burst(int connections, size_t size, double limit);
void measure_memory(int connections, size_t size);
void measure_start(size_t size);
void measure_states(const char *name, int connections);
void measure_lines(size_t size, double seconds);
void measure_transfer(size_t megabytes);
void measure_attack(const char *kind, int clients, double seconds, double limit);

#endif

/* The load generator: what its measures share.  Only for Linux, and only for one server on 127.0.0.1. */

#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STAMP 27        /* bytes of "[Mon Nov 23 08:22:38 2026] " */
#define PATIENCE 30.0   /* seconds that a server may keep everybody waiting */
#define WARM_UP 0.1     /* part of a run that is not counted, before the part that is */

/* common.c */

/* The server that is measured. */
extern int server_port;
extern int server_pid;

/* Print one line to standard error, and end with status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Seconds of a clock that only goes forward. */
double now(void);

/* CPU time of the server with all its threads, ended ones too, in seconds: to the nanosecond, where
   /proc has hundredths of a second, or forgets threads that have ended. */
double server_cpu(void);

/* Memory of the server that is resident, in bytes. */
long server_memory(void);

/* A number that looks random; the same sequence in every run. */
uint64_t chance(void);

/* A new TCP socket that is connecting to the server and does not block. */
int connecting_socket(void);

/* End the run unless these bytes are a stamp as ctime() has it, of a time from earliest to now. */
void check_stamp(const char stamp[STAMP], time_t earliest);

/* chunks.c: each connection sends one message at a time and waits for its answer. */

void measure_messages(int connections, int in_flight, size_t size, double seconds);
void measure_churn(int at_once, size_t size, double seconds);
void measure_burst(int connections, size_t size, double limit);
void measure_memory(int connections, size_t size);

/* lines.c: one connection sends lines without waiting. */

void measure_lines(size_t size, double seconds);

#endif

/* Connections that arrive: one after the other, all at once, and to stay. */

#include "chunks.h"

#include <stdio.h>

#define WARM 100  /* connections that a server has had before its memory is measured */

/* Connect, send, wait for the answer, close, and connect again. */
void measure_churn(int at_once, size_t size, double seconds)
{
    prepare(at_once, size);
    for (int i = 0; i < at_once; i++)
        begin(&connections[i]);
    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0, time;
    long served = 0;
    bool counting = false;
    do {
        struct connection *connection = need_answer(to + PATIENCE);
        stream_close(&connection->stream);
        begin(connection);
        time = now();
        if (counting) {
            served++;
        } else if (time >= from) {
            counting = true;
            cpu = server_cpu();
            from = time;
            to = from + seconds;
        }
    } while (time < to);
    printf("{\"connections\": %ld, \"seconds\": %.6f, \"cpu\": %.9f}\n",
           served, time - from, server_cpu() - cpu);
}

/* Open all connections at once, and send as soon as one is connected.  Give up at the limit. */
void measure_burst(int count, size_t size, double limit)
{
    prepare(count, size);
    double from = now(), all_connected = limit, all_answered = limit;
    for (int i = 0; i < count; i++)
        begin(&connections[i]);
    for (int answered = 0; answered < count; answered++) {
        struct connection *connection = await_answer(from + limit);
        if (connected == count && all_connected == limit)
            all_connected = now() - from;
        if (connection == NULL)
            break;
        if (answered == count - 1)
            all_answered = now() - from;
    }
    printf("{\"connected\": %.6f, \"answered\": %.6f}\n",
           all_connected < limit ? all_connected : limit, all_answered < limit ? all_answered : limit);
}

/* Open connections that are idle after one answer each. */
void measure_memory(int count, size_t size)
{
    prepare(count + WARM, size);
    open_connections(0, WARM);
    long before = server_memory();
    open_connections(WARM, WARM + count);
    printf("{\"connections\": %d, \"bytes\": %ld}\n", count, server_memory() - before);
}

/* What the server has used when it has just started; one answer shows that it works. */
void measure_start(size_t size)
{
    double cpu = server_cpu();
    long memory = server_memory();
    prepare(1, size);
    open_connections(0, 1);
    printf("{\"cpu\": %.9f, \"bytes\": %ld}\n", cpu, memory);
}

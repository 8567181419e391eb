/* Open connections that send messages, each after the answer to the one before. */

#include "chunks.h"

#include <stdio.h>
#include <stdlib.h>

/* Keep in_flight messages on their way; the connection that has waited longest sends the next. */
void measure_messages(int count, int in_flight, size_t size, double seconds)
{
    prepare(count, size);
    open_connections(0, count);
    struct connection **waiting = calloc((size_t)count, sizeof *waiting);  /* a ring */
    size_t room = 1 << 20, messages = 0;
    float *latencies = malloc(room * sizeof *latencies);
    if (waiting == NULL || latencies == NULL)
        fail("out of memory");
    int first = 0, last = 0;
    for (int i = 0; i < count; i++)
        waiting[i] = &connections[i];
    for (; first < in_flight; first++)
        send_message(waiting[first]);
    first %= count;

    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0;
    bool counting = false, over = false;
    while (in_flight > 0) {
        struct connection *connection = need_answer(to + PATIENCE);
        double time = now();
        if (!counting && time >= from) {
            counting = true;
            cpu = server_cpu();
            from = time;
            to = from + seconds;
        } else if (counting && !over) {
            if (messages == room) {
                room *= 2;
                latencies = realloc(latencies, room * sizeof *latencies);
                if (latencies == NULL)
                    fail("out of memory");
            }
            latencies[messages++] = (float)(time - connection->begun);
        }
        if (counting && !over && time >= to) {
            over = true;
            cpu = server_cpu() - cpu;
            to = time;
        }
        if (over) {
            in_flight--;
            continue;
        }
        waiting[last] = connection;
        last = (last + 1) % count;
        send_message(waiting[first]);
        first = (first + 1) % count;
    }
    sort_latencies(latencies, messages);
    printf("{\"messages\": %zu, \"from\": %.6f, \"seconds\": %.6f, \"cpu\": %.9f, "
           "\"p50\": %.7f, \"p99\": %.7f, \"p999\": %.7f}\n",
           messages, from, to - from, cpu, latencies[messages / 2],
           latencies[messages * 99 / 100], latencies[messages * 999 / 1000]);
}

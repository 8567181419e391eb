/*
 * Puts one load on a server, checks every answer, and prints what was measured as one line of JSON.
 * A wrong answer ends it with one line on standard error and status 1.  benchmarks/measures.py calls it.
 */

#include "load.h"

#include <stdlib.h>
#include <string.h>

int main(int count, char **words)
{
    const char *measure = count > 3 ? words[3] : "";
    server_port = count > 3 ? atoi(words[1]) : 0;
    server_pid = count > 3 ? atoi(words[2]) : 0;
    if (strcmp(measure, "messages") == 0 && count == 8)
        measure_messages(atoi(words[4]), atoi(words[5]), (size_t)atoi(words[6]), atof(words[7]));
    else if (strcmp(measure, "lines") == 0 && count == 6)
        measure_lines((size_t)atoi(words[4]), atof(words[5]));
    else if (strcmp(measure, "memory") == 0 && count == 6)
        measure_memory(atoi(words[4]), (size_t)atoi(words[5]));
    else if (strcmp(measure, "churn") == 0 && count == 7)
        measure_churn(atoi(words[4]), (size_t)atoi(words[5]), atof(words[6]));
    else if (strcmp(measure, "burst") == 0 && count == 7)
        measure_burst(atoi(words[4]), (size_t)atoi(words[5]), atof(words[6]));
    else
        fail("usage: load PORT PID messages CONNECTIONS IN_FLIGHT SIZE SECONDS\n"
             "       load PORT PID lines SIZE SECONDS\n"
             "       load PORT PID memory CONNECTIONS SIZE\n"
             "       load PORT PID churn AT_ONCE SIZE SECONDS\n"
             "       load PORT PID burst CONNECTIONS SIZE LIMIT");
    return 0;
}

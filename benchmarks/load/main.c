/*
 * Puts one load on a server, checks every answer, and prints the readings as one line of JSON.
 * A wrong answer ends it with one line on standard error and status 1.  benchmarks/turns.py calls it.
 */

#include "load.h"

#include <stdlib.h>
#include <string.h>

static int count;
static char **words;

/* Return whether the command line asks for this measure, with so many arguments. */
static bool asks_for(const char *measure, int arguments)
{
    return count == 4 + arguments && strcmp(words[3], measure) == 0;
}

static int integer(int argument)
{
    return atoi(words[4 + argument]);
}

static double seconds(int argument)
{
    return atof(words[4 + argument]);
}

int main(int argc, char **argv)
{
    count = argc;
    words = argv;
    if (count > 3)
        set_server(words[1], words[2]);
    if (asks_for("messages", 4))
        measure_messages(integer(0), integer(1), (size_t)integer(2), seconds(3));
    else if (asks_for("lines", 2))
        measure_lines((size_t)integer(0), seconds(1));
    else if (asks_for("transfer", 1))
        measure_transfer((size_t)integer(0));
    else if (asks_for("memory", 2))
        measure_memory(integer(0), (size_t)integer(1));
    else if (asks_for("churn", 3))
        measure_churn(integer(0), (size_t)integer(1), seconds(2));
    else if (asks_for("burst", 3))
        measure_burst(integer(0), (size_t)integer(1), seconds(2));
    else if (asks_for("attack", 4))
        measure_attack(words[4], integer(1), seconds(2), seconds(3));
    else if (asks_for("states", 2))
        measure_states(words[4], integer(1));
    else if (asks_for("start", 1))
        measure_start((size_t)integer(0));
    else
        fail("usage: load PORT PIDS messages CONNECTIONS IN_FLIGHT SIZE SECONDS\n"
             "       load PORT PIDS lines SIZE SECONDS\n"
             "       load PORT PIDS transfer MEGABYTES\n"
             "       load PORT PIDS memory CONNECTIONS SIZE\n"
             "       load PORT PIDS churn AT_ONCE SIZE SECONDS\n"
             "       load PORT PIDS burst CONNECTIONS SIZE LIMIT\n"
             "       load PORT PIDS attack KIND CLIENTS SECONDS LIMIT\n"
             "       load PORT PIDS states NAME CONNECTIONS\n"
             "       load PORT PIDS start SIZE");
    return 0;
}

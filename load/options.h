/* What the user asks for, from the command line. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum transport { TRANSPORT_TCP, TRANSPORT_UNIX, TRANSPORT_UDP };

struct options {
    const char *address; /* as given */
    enum transport transport;
    const char *place; /* HOST:PORT or PATH */

    enum protocol_kind protocol;
    size_t size;
    const char *path;
    bool churn;
    bool reset; /* end connections by a reset */

    unsigned connections;
    unsigned depth;
    unsigned workers;
    double rate;       /* requests a second in all; 0: closed loop */
    bool spin;         /* open loop: workers do not sleep */
    uint64_t requests; /* UINT64_MAX: no limit */
    uint64_t duration; /* ns; UINT64_MAX: no limit */
    uint64_t warmup;   /* ns */
    uint64_t timeout;  /* ns */

    bool progress;
    bool json;
    const char *json_file; /* NULL: standard output */
};

enum options_verdict { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/* RUN; DONE: help or version has been printed; WRONG: what is wrong has been said on stderr. */
enum options_verdict options_parse(struct options *options, int argc, char **argv);

#endif

#define _GNU_SOURCE

#include "options.h"

#include <getopt.h>
#include <lido.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000000
#define DEPTH_MAX 65536
#define SIZE_MAX_MESSAGE (64u << 20)
#define WORKERS_MAX 1024
#define RATE_MAX 1e8
#define SECONDS_MAX 1e7
#define DATAGRAM_MAX 65507

static const char help_text[] =
    "usage: lido-load [OPTION...] ADDRESS\n"
    "\n"
    "Puts a server under load, and says how fast it answers.\n"
    "\n"
    "ADDRESS is HOST:PORT, [IPV6]:PORT, unix:PATH (unix:@NAME is abstract) or udp:HOST:PORT.\n"
    "\n"
    "What is sent:\n"
    "      --protocol NAME     echo (default): messages that come back as they are;\n"
    "                          ping, ping-inline: Redis' PING; http: GET, keep-alive\n"
    "  -s, --size BYTES        of a message of echo (64)\n"
    "      --path PATH         of a request of http (/)\n"
    "\n"
    "How:\n"
    "  -c, --connections N     (1)\n"
    "  -P, --depth N           requests under way on a connection, at most (1)\n"
    "  -r, --rate R            open loop: R requests a second in all, sent by a schedule, and\n"
    "                          latency is counted from when each was due.\n"
    "                          Without it, closed loop: the next when one is answered\n"
    "      --spin              with --rate: do not sleep, so as to send on time; takes whole cores\n"
    "      --churn             a new connection for each request\n"
    "      --reset             end connections by a reset: no ports wait in TIME_WAIT\n"
    "  -w, --workers N         threads of this program (1)\n"
    "      --timeout TIME      how long an answer may take (5s; udp: 1s)\n"
    "\n"
    "How long: (10s, if neither is given)\n"
    "  -d, --duration TIME\n"
    "  -n, --requests N        in all\n"
    "      --warmup TIME       load before that, which is not counted (0)\n"
    "\n"
    "What is printed:\n"
    "      --progress          a line each second also if stderr is no terminal\n"
    "      --json[=FILE]       the results as JSON, in place of the text or in a file\n"
    "  -h, --help              this text\n"
    "      --version\n"
    "\n"
    "TIME is a number with ms, s (default), m or h behind it.\n"
    "Ctrl-C and SIGTERM end the run, and what there is by then is printed.\n"
    "\n"
    "Exit status: 0 all requests were answered, 1 some were not or there were errors,\n"
    "2 there was no run, 128+N ended by signal N (130: Ctrl-C).\n";

enum {
    OPTION_PROTOCOL = 256,
    OPTION_PATH,
    OPTION_CHURN,
    OPTION_RESET,
    OPTION_SPIN,
    OPTION_TIMEOUT,
    OPTION_WARMUP,
    OPTION_PROGRESS,
    OPTION_JSON,
    OPTION_VERSION
};

static const struct option names[] = {
    {"protocol", required_argument, NULL, OPTION_PROTOCOL},
    {"size", required_argument, NULL, 's'},
    {"path", required_argument, NULL, OPTION_PATH},
    {"connections", required_argument, NULL, 'c'},
    {"depth", required_argument, NULL, 'P'},
    {"rate", required_argument, NULL, 'r'},
    {"churn", no_argument, NULL, OPTION_CHURN},
    {"reset", no_argument, NULL, OPTION_RESET},
    {"spin", no_argument, NULL, OPTION_SPIN},
    {"workers", required_argument, NULL, 'w'},
    {"threads", required_argument, NULL, 'w'},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"duration", required_argument, NULL, 'd'},
    {"requests", required_argument, NULL, 'n'},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"json", optional_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

__attribute__((format(printf, 1, 2))) static bool wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lido-load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

/* ---- Values ------------------------------------------------------------------------------------ */

static bool take_count(const char *name, uint64_t least, uint64_t most, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(optarg, &end, 10);
    if (*optarg < '0' || *optarg > '9' || *end || errno || value < least || value > most)
        return wrong("--%s %s: must be a number from %llu to %llu", name, optarg,
                     (unsigned long long)least, (unsigned long long)most);
    *ret = value;
    return true;
}

static bool take_unsigned(const char *name, unsigned most, unsigned *ret)
{
    uint64_t value;
    if (!take_count(name, 1, most, &value))
        return false;
    *ret = (unsigned)value;
    return true;
}

/* A plain decimal number with text behind it; NULL: it is none. strtod also takes "inf" and hexadecimals.
   */
static const char *decimal(const char *text, double *ret)
{
    size_t length = strspn(text, "0123456789.");
    char *end;
    *ret = strtod(text, &end);
    return length > 0 && end == text + length ? end : NULL;
}

static double seconds_of(const char *unit)
{
    if (strcmp(unit, "ms") == 0)
        return 0.001;
    if (strcmp(unit, "m") == 0)
        return 60;
    if (strcmp(unit, "h") == 0)
        return 3600;
    return *unit == '\0' || strcmp(unit, "s") == 0 ? 1 : 0;
}

/* At least 1 ms, unless it may be zero. */
static bool take_time(const char *name, bool may_be_zero, uint64_t *ret)
{
    double value;
    const char *unit = decimal(optarg, &value);
    double seconds = unit ? value * seconds_of(unit) : 0;
    bool zero = may_be_zero && unit && seconds_of(unit) > 0 && value == 0;
    if (!zero && !(seconds >= 0.001 && seconds <= SECONDS_MAX))
        return wrong("--%s %s: must be a time of at least 1 ms, as 500ms, 10s, 2m", name, optarg);
    *ret = (uint64_t)llround(seconds * 1e9);
    return true;
}

static bool take_rate(double *ret)
{
    const char *end = decimal(optarg, ret);
    if (!end || *end || !(*ret >= 0.001 && *ret <= RATE_MAX))
        return wrong("--rate %s: must be a number from 0.001 to %.0f", optarg, RATE_MAX);
    return true;
}

static bool take_protocol(enum protocol_kind *ret)
{
    for (int i = 0; i < PROTOCOLS; i++)
        if (strcmp(optarg, protocol_names[i]) == 0) {
            *ret = (enum protocol_kind)i;
            return true;
        }
    return wrong("--protocol %s: must be echo, ping, ping-inline or http", optarg);
}

static bool take_size(size_t *ret)
{
    uint64_t size;
    if (!take_count("size", 1, SIZE_MAX_MESSAGE, &size))
        return false;
    *ret = (size_t)size;
    return true;
}

static bool take_path(const char **ret)
{
    if (optarg[0] != '/' || strpbrk(optarg, " \r\n"))
        return wrong("--path %s: must begin with / and be without spaces", optarg);
    *ret = optarg;
    return true;
}

static bool take_json(struct options *options)
{
    options->json = true;
    options->json_file = optarg;
    return true;
}

static bool take(struct options *options, int option)
{
    switch (option) {
    case OPTION_PROTOCOL: return take_protocol(&options->protocol);
    case 's': return take_size(&options->size);
    case OPTION_PATH: return take_path(&options->path);
    case 'c': return take_unsigned("connections", CONNECTIONS_MAX, &options->connections);
    case 'P': return take_unsigned("depth", DEPTH_MAX, &options->depth);
    case 'r': return take_rate(&options->rate);
    case OPTION_CHURN: options->churn = true; return true;
    case OPTION_RESET: options->reset = true; return true;
    case OPTION_SPIN: options->spin = true; return true;
    case 'w': return take_unsigned("workers", WORKERS_MAX, &options->workers);
    case OPTION_TIMEOUT: return take_time("timeout", false, &options->timeout);
    case 'd': return take_time("duration", false, &options->duration);
    case 'n': return take_count("requests", 1, UINT64_MAX - 1, &options->requests);
    case OPTION_WARMUP: return take_time("warmup", true, &options->warmup);
    case OPTION_PROGRESS: options->progress = true; return true;
    case OPTION_JSON: return take_json(options);
    default: return wrong("see lido-load --help");
    }
}

/* ---- The whole --------------------------------------------------------------------------------- */

static bool take_address(struct options *options, int argc, char **argv)
{
    if (optind == argc)
        return wrong("the ADDRESS of the server is missing; see lido-load --help");
    if (optind + 1 < argc)
        return wrong("one address only, and what is \"%s\"?", argv[optind + 1]);
    options->address = options->place = argv[optind];
    if (strncmp(options->address, "unix:", 5) == 0) {
        options->transport = TRANSPORT_UNIX;
        options->place += 5;
    } else if (strncmp(options->address, "udp:", 4) == 0) {
        options->transport = TRANSPORT_UDP;
        options->place += 4;
    }
    return true;
}

static bool check_datagrams(const struct options *options)
{
    if (options->transport != TRANSPORT_UDP)
        return true;
    if (options->protocol != PROTOCOL_ECHO)
        return wrong("udp: has no --protocol but echo");
    if (options->churn)
        return wrong("--churn: there are no connections in udp:");
    if (options->size < sizeof(struct tag) || options->size > DATAGRAM_MAX)
        return wrong("--size %zu: a datagram has from %zu to %d bytes here", options->size,
                     sizeof(struct tag), DATAGRAM_MAX);
    return true;
}

static bool check_together(const struct options *options, bool sized)
{
    if (sized && options->protocol != PROTOCOL_ECHO)
        return wrong("--size: is for --protocol echo only");
    if (options->path && options->protocol != PROTOCOL_HTTP)
        return wrong("--path: is for --protocol http only");
    if (options->spin && options->rate == 0)
        return wrong("--spin: is for --rate only");
    if (options->churn && options->depth > 1)
        return wrong("--depth: with --churn there is one request to a connection");
    if (options->workers > options->connections)
        return wrong("--workers %u: there are no more connections than %u", options->workers,
                     options->connections);
    return check_datagrams(options);
}

static void complete(struct options *options)
{
    if (!options->path)
        options->path = "/";
    if (options->requests == UINT64_MAX && options->duration == UINT64_MAX)
        options->duration = UINT64_C(10000000000);
    if (!options->timeout)
        options->timeout = UINT64_C(1000000000) * (options->transport == TRANSPORT_UDP ? 1 : 5);
    options->progress |= isatty(STDERR_FILENO);
}

enum options_verdict options_parse(struct options *options, int argc, char **argv)
{
    int option;
    *options = (struct options){
        .connections = 1, .depth = 1, .workers = 1, .requests = UINT64_MAX, .duration = UINT64_MAX};
    while ((option = getopt_long(argc, argv, "s:c:P:r:w:d:n:h", names, NULL)) >= 0) {
        if (option == 'h')
            fputs(help_text, stdout);
        else if (option == OPTION_VERSION)
            printf("lido-load %s\n", lido_version_string());
        else if (take(options, option))
            continue;
        return option == 'h' || option == OPTION_VERSION ? OPTIONS_DONE : OPTIONS_WRONG;
    }
    if (!take_address(options, argc, argv))
        return OPTIONS_WRONG;
    bool sized = options->size != 0;
    options->size = sized ? options->size : 64;
    if (!check_together(options, sized))
        return OPTIONS_WRONG;
    complete(options);
    return OPTIONS_RUN;
}

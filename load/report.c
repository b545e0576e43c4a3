#include "report.h"

#include "text.h"

#define NS 1e9

/* What both forms show of a histogram. */
static const struct {
    double percent;
    const char *text;
    const char *key;
} percentiles[] = {
    {50, "p50", "p50"},      {90, "p90", "p90"},         {99, "p99", "p99"},
    {99.9, "p99.9", "p999"}, {99.99, "p99.99", "p9999"},
};
#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double rate_of(const struct run *run)
{
    return run->elapsed > 0 ? (double)run->total.answered / run->elapsed : 0;
}

/* ---- Text -------------------------------------------------------------------------------------- */

static void print_head(const struct run *run, FILE *out)
{
    const struct options *options = run->options;
    fprintf(out, "lido-load %s: %s", lido_version_string(), protocol_names[options->protocol]);
    if (options->protocol == PROTOCOL_ECHO)
        fprintf(out, " of %zu bytes", options->size);
    fprintf(out, " to %s, ", options->address);
    if (options->rate > 0)
        fprintf(out, "open loop of %.10g/s\n", options->rate);
    else
        fprintf(out, "closed loop\n");
    fprintf(out, "  %.2f s, %u connections%s, depth %u, %u worker%s\n\n", run->elapsed,
            options->connections, options->churn ? " at a time, one for each request" : "",
            options->depth, run->lane_count, run->lane_count == 1 ? "" : "s");
}

static void print_counts(const struct run *run, FILE *out)
{
    const struct figures *total = &run->total;
    fprintf(out, "  requests    %llu answered, %.1f/s\n", (unsigned long long)total->answered,
            rate_of(run));
    fprintf(out, "  bytes       %s sent, %s received\n",
            text_of_bytes((double)total->bytes_sent).text,
            text_of_bytes((double)total->bytes_received).text);
    if (total->held_back)
        fprintf(out, "  held back   %llu were due when no connection had room for them\n",
                (unsigned long long)total->held_back);
    if (total->reconnects)
        fprintf(out, "  reconnects  %llu, where the server ended a connection as announced\n",
                (unsigned long long)total->reconnects);
    fprintf(out, "  unanswered  %llu%s\n", (unsigned long long)total->unanswered,
            total->unanswered ? ", which the percentiles leave out" : "");
    fprintf(out, "  errors      %llu\n", (unsigned long long)figures_errors(total));
    for (int i = 0; i < ERROR_KINDS; i++)
        if (total->errors[i])
            fprintf(out, "    %llu %s\n", (unsigned long long)total->errors[i], error_texts[i]);
    if (total->late_answers)
        fprintf(out, "    %llu answers came after they had been given up\n",
                (unsigned long long)total->late_answers);
}

static void print_times(const char *name, const struct histogram *times, FILE *out)
{
    fprintf(out, "\n  %s\n", name);
    fprintf(out, "    min     %s\n", text_of_time((double)times->min).text);
    fprintf(out, "    mean    %s\n", text_of_time(histogram_mean(times)).text);
    for (size_t i = 0; i < PERCENTILES; i++)
        fprintf(out, "    %-7s %s\n", percentiles[i].text,
                text_of_time((double)histogram_percentile(times, percentiles[i].percent)).text);
    fprintf(out, "    max     %s\n", text_of_time((double)times->max).text);
}

void report_text(const struct run *run, FILE *out)
{
    const struct histogram *lateness = &run->total.lateness;
    print_head(run, out);
    print_counts(run, out);
    if (run->total.answered)
        print_times(run->options->rate > 0 ? "latency, from when each request was due" : "latency",
                    &run->total.latency, out);
    if (lateness->count)
        fprintf(out, "\n  this program sent late by %s (p50), %s (p99), %s at most\n",
                text_of_time((double)histogram_percentile(lateness, 50)).text,
                text_of_time((double)histogram_percentile(lateness, 99)).text,
                text_of_time((double)lateness->max).text);
    if (run->signal)
        fprintf(out, "\n  ended early, by a signal\n");
}

/* ---- JSON -------------------------------------------------------------------------------------- */

/* What is not UTF-8 would not be JSON either; bytes above 127 of an address are passed on as they are. */
static void print_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ' || byte == 127)
            fprintf(out, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void print_limit(const char *key, uint64_t value, double unit, FILE *out)
{
    if (value == UINT64_MAX)
        fprintf(out, "    \"%s\": null,\n", key);
    else
        fprintf(out, "    \"%s\": %.15g,\n", key, (double)value / unit);
}

static const char *bool_of(bool value)
{
    return value ? "true" : "false";
}

static void print_options(const struct options *options, unsigned workers, FILE *out)
{
    static const char *const transports[] = {"tcp", "unix", "udp"};
    fprintf(out, "  \"options\": {\n    \"address\": ");
    print_string(options->address, out);
    fprintf(out, ",\n    \"transport\": \"%s\",\n", transports[options->transport]);
    fprintf(out, "    \"protocol\": \"%s\",\n", protocol_names[options->protocol]);
    fprintf(out, "    \"size\": %zu,\n    \"path\": ", options->size);
    print_string(options->path, out);
    fprintf(out, ",\n    \"connections\": %u,\n", options->connections);
    fprintf(out, "    \"depth\": %u,\n", options->depth);
    fprintf(out, "    \"workers\": %u,\n", workers);
    fprintf(out, "    \"churn\": %s,\n", bool_of(options->churn));
    fprintf(out, "    \"reset\": %s,\n", bool_of(options->reset));
    fprintf(out, "    \"spin\": %s,\n", bool_of(options->spin));
    if (options->rate > 0)
        fprintf(out, "    \"rate\": %.15g,\n", options->rate);
    else
        fprintf(out, "    \"rate\": null,\n");
    print_limit("requests", options->requests, 1, out);
    print_limit("duration_s", options->duration, NS, out);
    print_limit("warmup_s", options->warmup, NS, out);
    fprintf(out, "    \"timeout_s\": %.15g\n  }\n", (double)options->timeout / NS);
}

static void print_errors(const struct figures *total, FILE *out)
{
    fprintf(out, "  \"errors\": {");
    for (int i = 0; i < ERROR_KINDS; i++)
        fprintf(out, "%s\"%s\": %llu", i ? ", " : "", error_names[i],
                (unsigned long long)total->errors[i]);
    fprintf(out, "},\n  \"error_count\": %llu,\n", (unsigned long long)figures_errors(total));
}

/* Without any value there are no times: null. */
static void print_histogram(const char *key, const struct histogram *times, FILE *out)
{
    fprintf(out, "  \"%s\": ", key);
    if (times->count == 0) {
        fprintf(out, "null,\n");
        return;
    }
    fprintf(out, "{\"count\": %llu, \"min\": %llu, \"mean\": %.1f",
            (unsigned long long)times->count, (unsigned long long)times->min,
            histogram_mean(times));
    for (size_t i = 0; i < PERCENTILES; i++)
        fprintf(out, ", \"%s\": %llu", percentiles[i].key,
                (unsigned long long)histogram_percentile(times, percentiles[i].percent));
    fprintf(out, ", \"max\": %llu},\n", (unsigned long long)times->max);
}

void report_json(const struct run *run, FILE *out)
{
    const struct figures *total = &run->total;
    fprintf(out, "{\n  \"lido_load\": \"%s\",\n", lido_version_string());
    fprintf(out, "  \"elapsed_s\": %.9f,\n", run->elapsed);
    fprintf(out, "  \"requests\": %llu,\n", (unsigned long long)total->answered);
    fprintf(out, "  \"rate\": %.3f,\n", rate_of(run));
    fprintf(out, "  \"bytes\": {\"sent\": %llu, \"received\": %llu},\n",
            (unsigned long long)total->bytes_sent, (unsigned long long)total->bytes_received);
    fprintf(out, "  \"unanswered\": %llu,\n", (unsigned long long)total->unanswered);
    fprintf(out, "  \"reconnects\": %llu,\n", (unsigned long long)total->reconnects);
    fprintf(out, "  \"late_answers\": %llu,\n", (unsigned long long)total->late_answers);
    print_errors(total, out);
    fprintf(out, "  \"signal\": %d,\n", run->signal);
    print_histogram("latency_ns", &total->latency, out);
    if (run->options->rate > 0) {
        fprintf(out, "  \"held_back\": %llu,\n", (unsigned long long)total->held_back);
        print_histogram("send_lateness_ns", &total->lateness, out);
    }
    print_options(run->options, run->lane_count, out);
    fprintf(out, "}\n");
}

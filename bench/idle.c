/*
 * What an idle connection costs an echo server in memory of its own: how much its resident memory grows
 * by opening N connections, echoing one message on each, and leaving them idle.
 *
 * Prints one line: connections N rss_bytes B page_table_bytes P
 * both per connection. Page tables are the kernel's, but how many there are is the server's doing.
 */
#include <errno.h>
#include <stdio.h>

#include "support/client.h"
#include "support/tools.h"

struct memory {
    uint64_t resident;
    uint64_t page_tables;
};

static struct memory memory_of(pid_t pid)
{
    return (struct memory){.resident = bench_process_memory(pid, "VmRSS"),
                           .page_tables = bench_process_memory(pid, "VmPTE")};
}

static double each(uint64_t before, uint64_t after, unsigned count)
{
    return ((double)after - (double)before) / count;
}

int main(int argc, char **argv)
{
    struct bench_client first;
    struct bench_client crowd;
    if (argc != 4) {
        fprintf(stderr, "usage: idle PID CONNECTIONS ADDRESS\n");
        return 2;
    }
    pid_t pid = (pid_t)bench_number_of("PID", argv[1], 1);
    unsigned count = (unsigned)bench_number_of("CONNECTIONS", argv[2], 1);
    struct bench_address server = bench_address_of(argv[3]);
    bench_raise_fd_limit();

    /* What the server needs for its first connections is not the cost of one. */
    bench_client_init(&first, &server, 64);
    bench_client_connect(&first, 64);
    struct memory before = memory_of(pid);
    bench_client_init(&crowd, &server, 64);
    bench_client_connect(&crowd, count);
    struct memory after = memory_of(pid);

    printf("connections %u rss_bytes %.1f page_table_bytes %.1f\n", count,
           each(before.resident, after.resident, count),
           each(before.page_tables, after.page_tables, count));
    bool failed = first.errors || crowd.errors;
    bench_client_fini(&first);
    bench_client_fini(&crowd);
    return failed;
}

/* udp: takes and sends as many datagrams as there are by one system call each. */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "bare_epoll.h"

#define DATAGRAMS 32

struct datagrams {
    struct mmsghdr messages[DATAGRAMS];
    struct iovec parts[DATAGRAMS];
    struct sockaddr_storage from[DATAGRAMS];
    char bytes[DATAGRAMS][PEER_READ_SHARED];
};

static void make_ready(struct datagrams *datagrams, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        datagrams->parts[i].iov_len = sizeof(datagrams->bytes[i]);
        datagrams->messages[i].msg_hdr.msg_namelen = sizeof(datagrams->from[i]);
    }
}

static struct datagrams *make_datagrams(void)
{
    struct datagrams *datagrams = calloc(1, sizeof(*datagrams));
    if (!datagrams)
        bench_die("memory");
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        struct msghdr *message = &datagrams->messages[i].msg_hdr;
        datagrams->parts[i].iov_base = datagrams->bytes[i];
        message->msg_name = &datagrams->from[i];
        message->msg_iov = &datagrams->parts[i];
        message->msg_iovlen = 1;
    }
    make_ready(datagrams, DATAGRAMS);
    return datagrams;
}

/* Nothing is taken while they are not sent, so there is nothing else to wait for. */
static void send_back(struct datagrams *datagrams, unsigned count, int fd)
{
    for (unsigned i = 0; i < count; i++)
        datagrams->parts[i].iov_len = datagrams->messages[i].msg_len;
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(fd, datagrams->messages + done, count - done, 0);
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        if (sent > 0)
            done += (unsigned)sent;
        else if (errno == EAGAIN)
            poll(&room, 1, -1);
        else
            done++; /* there is no way to whom it came from */
    }
    make_ready(datagrams, count);
}

static void serve(const struct peer_options *options, int fd)
{
    struct datagrams *datagrams = make_datagrams();
    struct epoll_event event;
    int epoll = bare_epoll();
    (void)options;
    bare_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, (epoll_data_t){.fd = fd});
    for (;;) {
        int count;
        epoll_wait(epoll, &event, 1, -1);
        do {
            count = recvmmsg(fd, datagrams->messages, DATAGRAMS, 0, NULL);
            if (count > 0)
                send_back(datagrams, (unsigned)count, fd);
            /* Fewer than could be: that was all. An error is that of an earlier one, and is taken now. */
        } while (count == DATAGRAMS || (count < 0 && errno != EAGAIN));
    }
}

void bare_datagrams(const struct peer_options *options)
{
    peer_serve(options, SOCK_DGRAM, serve);
}

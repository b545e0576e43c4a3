#include "figures.h"

#include <errno.h>

const char *const error_names[ERROR_KINDS] = {
    [ERROR_CONNECT] = "connect", [ERROR_RESET] = "reset",   [ERROR_CLOSED] = "closed",
    [ERROR_TIMEOUT] = "timeout", [ERROR_ANSWER] = "answer", [ERROR_STATUS] = "status",
    [ERROR_LOST] = "lost",       [ERROR_OTHER] = "other",
};

const char *const error_texts[ERROR_KINDS] = {
    [ERROR_CONNECT] = "connections refused, or not made",
    [ERROR_RESET] = "connections reset by the peer",
    [ERROR_CLOSED] = "connections closed by the peer",
    [ERROR_TIMEOUT] = "connections without an answer in time",
    [ERROR_ANSWER] = "wrong answers",
    [ERROR_STATUS] = "HTTP statuses other than 2xx and 3xx",
    [ERROR_LOST] = "datagrams without an answer in time",
    [ERROR_OTHER] = "other errors",
};

void figures_merge(struct figures *figures, const struct figures *other)
{
    figures->answered += other->answered;
    figures->unanswered += other->unanswered;
    figures->bytes_sent += other->bytes_sent;
    figures->bytes_received += other->bytes_received;
    figures->held_back += other->held_back;
    figures->reconnects += other->reconnects;
    figures->late_answers += other->late_answers;
    for (int i = 0; i < ERROR_KINDS; i++)
        figures->errors[i] += other->errors[i];
    figures->connections += other->connections;
    if (other->last_answer > figures->last_answer)
        figures->last_answer = other->last_answer;
    histogram_merge(&figures->latency, &other->latency);
    histogram_merge(&figures->lateness, &other->lateness);
}

uint64_t figures_errors(const struct figures *figures)
{
    uint64_t all = 0;
    for (int i = 0; i < ERROR_KINDS; i++)
        all += figures->errors[i];
    return all;
}

enum error_kind error_kind_of(int error)
{
    switch (error) {
    case -ECONNREFUSED: return ERROR_CONNECT;
    case -ECONNRESET:
    case -EPIPE: return ERROR_RESET;
    case -ENODATA: return ERROR_CLOSED;
    case -ETIMEDOUT: return ERROR_TIMEOUT;
    case -EBADMSG: return ERROR_ANSWER;
    default: return ERROR_OTHER;
    }
}

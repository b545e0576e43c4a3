#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum { STATUS_LINE, LINE_BEGIN, NAME, VALUE, REST_OF_LINE, BODY };

#define LENGTH_MAX (UINT64_C(1) << 50)

/* The headers that say where an answer ends, and whether the connection goes on; the rest are passed
   over. */
static const char *const names[] = {"content-length:", "transfer-encoding:", "connection:"};
enum { CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HEADERS };

/* "HTTP/1.1 200": the dots are any character. */
static const char status_form[] = "HTTP/1.. ";
#define MINOR_AT 7
#define CODE_AT (sizeof(status_form) - 1)

static const char close_word[] = "close";

/* One byte of the status line, up to the code. */
static bool take_status(struct http_answer *answer, char byte)
{
    unsigned at = answer->matched++;
    if (at == MINOR_AT)
        answer->closes = byte == '0'; /* as long as nothing else is said */
    if (at < CODE_AT)
        return status_form[at] == '.' || status_form[at] == byte;
    if (!isdigit((unsigned char)byte))
        return false;
    answer->status = (uint16_t)(answer->status * 10 + (byte - '0'));
    if (answer->matched == CODE_AT + 3)
        answer->state = REST_OF_LINE;
    return true;
}

/* The headers are over. False: nobody can say where the body ends. */
static bool begin_body(struct http_answer *answer)
{
    answer->state = BODY;
    return answer->has_length || answer->status == 204 || answer->status == 304;
}

/* The first byte of a header line, or the empty line. */
static bool begin_line(struct http_answer *answer, char byte)
{
    char first = (char)tolower((unsigned char)byte);
    if (byte == '\n')
        return begin_body(answer);
    if (byte == '\r')
        return true;
    answer->state = REST_OF_LINE;
    for (uint8_t i = 0; i < HEADERS; i++)
        if (names[i][0] == first) {
            answer->state = NAME;
            answer->header = i;
            answer->matched = 1;
        }
    return true;
}

/* Whether this header goes on with `byte`, or another that has begun in the same way. */
static bool goes_on_with(struct http_answer *answer, char byte)
{
    const char *name = names[answer->header];
    if (name[answer->matched] == byte)
        return true;
    for (uint8_t i = 0; i < HEADERS; i++)
        if (strncmp(names[i], name, answer->matched) == 0 && names[i][answer->matched] == byte) {
            answer->header = i;
            return true;
        }
    return false;
}

static bool take_name(struct http_answer *answer, char byte)
{
    byte = (char)tolower((unsigned char)byte);
    if (byte == '\n') {
        answer->state = LINE_BEGIN;
        return true;
    }
    if (!goes_on_with(answer, byte)) {
        answer->state = REST_OF_LINE;
        return true;
    }
    if (names[answer->header][++answer->matched] != '\0')
        return true;
    answer->state = VALUE;
    answer->matched = 0;
    answer->has_length |= answer->header == CONTENT_LENGTH;
    answer->closes &= answer->header != CONNECTION;
    return answer->header != TRANSFER_ENCODING; /* chunks have lengths of their own */
}

/* "close", or what does not matter. */
static void take_connection(struct http_answer *answer, char byte)
{
    if (close_word[answer->matched] != tolower((unsigned char)byte))
        answer->state = REST_OF_LINE;
    else if (close_word[++answer->matched] == '\0') {
        answer->closes = true;
        answer->state = REST_OF_LINE;
    }
}

static bool take_value(struct http_answer *answer, char byte)
{
    if (byte == '\n')
        answer->state = LINE_BEGIN;
    if (byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t')
        return true;
    if (answer->header == CONNECTION) {
        take_connection(answer, byte);
        return true;
    }
    if (!isdigit((unsigned char)byte))
        return false;
    answer->length = answer->length * 10 + (uint64_t)(byte - '0');
    return answer->length < LENGTH_MAX;
}

static bool take_byte(struct http_answer *answer, char byte)
{
    switch (answer->state) {
    case STATUS_LINE: return take_status(answer, byte);
    case LINE_BEGIN: return begin_line(answer, byte);
    case NAME: return take_name(answer, byte);
    default: return take_value(answer, byte);
    }
}

/* Past the end of a line that says nothing; most of an answer is that. */
static size_t pass_line(struct http_answer *answer, const char *data, size_t size)
{
    const char *feed = memchr(data, '\n', size);
    if (!feed)
        return size;
    answer->state = LINE_BEGIN;
    return (size_t)(feed - data) + 1;
}

ssize_t http_take(struct http_answer *answer, const char *data, size_t size, bool *done)
{
    size_t at = 0;
    while (at < size && answer->state != BODY) {
        if (answer->state == REST_OF_LINE)
            at += pass_line(answer, data + at, size - at);
        else if (!take_byte(answer, data[at++]))
            return -EBADMSG;
    }
    *done = false;
    if (answer->state == BODY) {
        size_t left = size - at;
        size_t body = answer->length < left ? (size_t)answer->length : left;
        answer->length -= body;
        at += body;
        *done = answer->length == 0;
    }
    return (ssize_t)at;
}

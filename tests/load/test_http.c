/* How lido-load finds the ends of HTTP answers. */
#include <errno.h>

#include "http.h"
#include "support/check.h"

/* Takes the text in pieces of `step` bytes. Returns the size of the answer that it begins with; 0: it is
   not whole. */
static ssize_t take(struct http_answer *answer, const char *text, size_t step)
{
    size_t size = strlen(text);
    size_t at = 0;
    bool done = false;
    *answer = (struct http_answer){0};
    while (at < size && !done) {
        size_t piece = size - at < step ? size - at : step;
        ssize_t took = http_take(answer, text + at, piece, &done);
        if (took < 0)
            return took;
        assert_true(done || (size_t)took == piece);
        at += (size_t)took;
    }
    return done ? (ssize_t)at : 0;
}

/* In pieces of every size. */
static void expect(const char *text, ssize_t size, unsigned status)
{
    struct http_answer answer;
    for (size_t step = 1; step <= strlen(text); step++) {
        assert_int_equal(take(&answer, text, step), size);
        if (size > 0)
            assert_int_equal(answer.status, status);
    }
}

static void an_answer_is_as_long_as_it_says(void **state)
{
    static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    (void)state;
    expect(hello, sizeof(hello) - 1, 200);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 404 ", sizeof(hello) - 1,
           200);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 0, 200);
    expect("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45, 404);
}

static void the_length_is_found_among_other_headers_in_any_case(void **state)
{
    static const char text[] =
        "HTTP/1.0 200 \nServer: x\r\nConnection: keep-alive\r\ncoNTENT-lENGTH:3\r\n"
        "Content-Type: text/plain\r\nTrailer: t\r\nT:\r\nC\r\n\r\nabc";
    (void)state;
    expect(text, sizeof(text) - 1, 200);
}

static void statuses_without_a_body_need_no_length(void **state)
{
    static const char text[] = "HTTP/1.1 304 Not Modified\r\nEtag: 1\r\n\r\n";
    (void)state;
    expect(text, sizeof(text) - 1, 304);
}

static void it_is_seen_whether_the_connection_goes_on(void **state)
{
    static const struct {
        const char *text;
        bool closes;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ncoNNection:Close\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nConnectio: close\r\nContent-Length: 0\r\n\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t step = 1; step < 60; step++) {
            struct http_answer answer;
            assert_int_equal(take(&answer, cases[i].text, step), strlen(cases[i].text));
            assert_int_equal(answer.closes, cases[i].closes);
        }
}

static void what_does_not_say_its_length_is_refused(void **state)
{
    (void)state;
    expect("HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello", -EBADMSG, 0);
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG, 0);
}

static void what_is_not_http_is_refused(void **state)
{
    (void)state;
    expect("+PONG\r\n", -EBADMSG, 0);
    expect("HTTP/1.1 2x0 OK\r\n", -EBADMSG, 0);
    expect("HTTP/2.0 200", -EBADMSG, 0);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", -EBADMSG, 0);
    expect("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", -EBADMSG, 0);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", -EBADMSG, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_as_long_as_it_says),
        cmocka_unit_test(the_length_is_found_among_other_headers_in_any_case),
        cmocka_unit_test(statuses_without_a_body_need_no_length),
        cmocka_unit_test(it_is_seen_whether_the_connection_goes_on),
        cmocka_unit_test(what_does_not_say_its_length_is_refused),
        cmocka_unit_test(what_is_not_http_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

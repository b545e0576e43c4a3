"""What each job of README.md promises: functions of a server and of the name of its job."""

from promises import proxy, requests, tcp, udp

OF_TCP = (
    tcp.many_connections_at_once,
    tcp.no_delay_backlog_and_reuse,
    tcp.half_closed_is_answered_to_the_end,
    tcp.slow_reader_is_waited_for,
    tcp.others_are_served_beside_a_slow_reader,
    tcp.broken_connection_ends_alone,
)
OF_REQUESTS = (
    requests.split_anywhere,
    requests.byte_by_byte,
    requests.any_number_in_any_pieces,
    requests.many_of_the_shortest_in_one_read,
    requests.one_read_is_answered_by_one_write,
)
PROMISES = {
    "echo": (tcp.bytes_come_back, *OF_TCP),
    "hog": (tcp.bytes_come_back, tcp.many_connections_at_once, tcp.broken_connection_ends_alone),
    "ping": (*OF_REQUESTS, *OF_TCP),
    "http": (requests.is_understood_by_a_client, *OF_REQUESTS, *OF_TCP),
    "udp": (udp.datagrams_come_back, udp.each_gets_its_own, udp.one_that_is_gone_does_no_harm),
    "proxy": (
        proxy.bytes_go_both_ways,
        proxy.half_closes_are_passed_on,
        proxy.empty_connections_end,
        proxy.slow_reader_is_waited_for,
        proxy.no_delay,
        proxy.broken_pair_ends_alone,
        proxy.refused_upstream_ends_the_client,
    ),
}

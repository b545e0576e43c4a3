#include "reactor/op.h"

const char *const lido__op_names[] = {
    [LIDO__OP_READ] = "read",          [LIDO__OP_READ_LENT] = "read",
    [LIDO__OP_READV] = "readv",        [LIDO__OP_PEEK] = "peek",
    [LIDO__OP_RECV_DATAGRAM] = "recv", [LIDO__OP_ACCEPT] = "accept",
    [LIDO__OP_READABLE] = "readable",  [LIDO__OP_WRITE] = "write",
    [LIDO__OP_WRITEV] = "writev",      [LIDO__OP_SEND_DATAGRAM] = "send",
    [LIDO__OP_CONNECT] = "connect",    [LIDO__OP_WRITABLE] = "writable",
    [LIDO__OP_READ_PIPE] = "read",     [LIDO__OP_WRITE_PIPE] = "write",
};

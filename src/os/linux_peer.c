#define _GNU_SOURCE

#include <sys/socket.h>

#include "os/call.h"
#include "os/os.h"

int lido__os_peer_credentials(int fd, int64_t *ret_pid, uint32_t *ret_uid, uint32_t *ret_gid)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int r = LIDO__CALL("getsockopt", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    if (r < 0)
        return r;
    *ret_pid = peer.pid > 0 ? peer.pid : -1; /* 0: it lives in another namespace */
    *ret_uid = peer.uid;
    *ret_gid = peer.gid;
    return 0;
}

#define _GNU_SOURCE

#include "support/peer.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void *peer_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    return memory;
}

void peer_start(struct peer *peer, void (*fn)(void *arg), void *arg)
{
    int ends[2];
    check_int(pipe(ends), 0);
    peer->pid = fork();
    check(peer->pid >= 0);
    if (peer->pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(arg);
        _exit(0);
    }
    close(ends[1]);
    peer->ends = ends[0];
}

void peer_await(struct peer *peer)
{
    lido_stream *stream;
    char byte;
    check_int(lido_stream_from_fd(&stream, peer->ends), 0);
    check_int(lido_read(stream, &byte, 1), 0);
    lido_close(stream);
}

void peer_ended_well(struct peer *peer)
{
    int status;
    check_int(waitpid(peer->pid, &status, 0), peer->pid);
    check(WIFEXITED(status));
    check_int(WEXITSTATUS(status), 0);
}

void peer_ended_by(struct peer *peer, int signal)
{
    int status;
    check_int(waitpid(peer->pid, &status, 0), peer->pid);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), signal);
}

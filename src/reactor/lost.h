/*
 * Descriptors of a reactor that the program has closed under it, as one does that closes all descriptors to become
 * a daemon. Nothing can go on then, and what has the same number by now is somebody else's.
 */
#ifndef LIDO_REACTOR_LOST_H
#define LIDO_REACTOR_LOST_H

/*
 * Ends the process with a text that names the descriptor, if `epoll_fd` is not the epoll any more in which
 * `wake_fd` is registered. Returns if it is, and if the system does not say. One system call if all is well.
 * Any thread; errno is undefined after it.
 */
void lido__lost_check(int epoll_fd, int wake_fd, unsigned worker);

#endif

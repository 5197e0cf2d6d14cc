/* SPDX-License-Identifier: ISC
 *
 * fork: tells a child's farms from its parent's, and shuts the parent's sockets in a child,
 * because a server that still has one open would not see the parent die.
 */
#ifndef WR_FORK_H
#define WR_FORK_H

typedef struct wr_socket {
    struct wr_socket *next;
    int               fd;
} wr_socket;

/* How many forks lie between the first process that used this library and this one. */
unsigned wr_forks(void);

/* From now on a child closes fd; until the second returns. The caller keeps *s. */
void wr_socket_add(wr_socket *s, int fd);
void wr_socket_remove(wr_socket *s);

#endif

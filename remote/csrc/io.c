/* SPDX-License-Identifier: ISC
 *
 * io: the turn that all I/O threads share.
 */
#include "io.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- connecting ------------------------------------------------------------------------ */

static void set_fd(wr_io *io, int fd)
{
    pthread_mutex_lock(&io->farm->lock);
    io->fd = fd;
    io->cut = false;
    io->farm->up &= ~(1U << io->which);
    pthread_mutex_unlock(&io->farm->lock);
}

/* From now on others send too; or they do not any more. */
static void set_up(wr_io *io, bool up)
{
    if (up)
        wr_wire_buffer(io->wire);
    pthread_mutex_lock(&io->wire_lock);
    io->up = io->more = up; /* more: what waited for the connection */
    io->blocked = io->broken = false;
    pthread_mutex_unlock(&io->wire_lock);
}

static void close_wire(wr_io *io, bool politely)
{
    set_up(io, false);
    set_fd(io, -1);
    wr_socket_remove(&io->socket);
    wr_wire_close(io->wire, politely);
    io->wire = NULL;
    io->kind->lost(io);
}

/* Notes why there is no connection. False: on_event has heard, because a worker's two connections
 * mostly fail for one reason, and then one of them tells each attempt. */
static bool note_why(wr_io *io, const char *why, bool had)
{
    weir_remote *farm = io->farm;
    pthread_mutex_lock(&farm->lock);
    wr_io **tells = &farm->tells;
    bool    one_of_two = io->which != WR_CLIENT && !had;
    bool    known = one_of_two && *tells && *tells != io && !strcmp((*tells)->why, why);
    snprintf(io->why, sizeof io->why, "%s", why);
    if (one_of_two && !known && !*tells)
        *tells = io;
    pthread_mutex_unlock(&farm->lock);
    return !known;
}

static void back_off(wr_io *io, const char *why, bool had)
{
    const weir_remote_options *o = &io->farm->options;
    io->wait = had || !io->wait ? o->reconnect_min_ns : io->wait * 2;
    if (io->wait > o->reconnect_max_ns)
        io->wait = o->reconnect_max_ns;
    io->retry_at = weir_now() + io->wait;
    bool news = note_why(io, why, had);
    if (io->kind->no_use && !had)
        io->kind->no_use(io);
    if (!news)
        return;
    wr_tell(io->farm, WEIR_REMOTE_ELOST, "%s of %s: %s: %s", io->kind->name, io->farm->url.shown,
            had ? "the connection is lost" : "no connection", why);
}

static void lose(wr_io *io)
{
    char why[300];
    pthread_mutex_lock(&io->wire_lock);
    io->broken = true;
    snprintf(why, sizeof why, "%s", wr_wire_why(io->wire));
    pthread_mutex_unlock(&io->wire_lock);
    close_wire(io, false);
    back_off(io, why, true);
}

static void count_connect(wr_io *io)
{
    pthread_mutex_lock(&io->farm->lock);
    io->farm->stats.connects++;
    io->farm->up |= 1U << io->which;
    if (io->farm->tells == io)
        io->farm->tells = NULL;
    io->why[0] = 0;
    pthread_mutex_unlock(&io->farm->lock);
    wr_tell(io->farm, 0, "%s of %s: connected", io->kind->name, io->farm->url.shown);
}

static void connect_now(wr_io *io)
{
    char           why[300];
    weir_remote   *farm = io->farm;
    const wr_kind *kind = io->kind;
    if (wr_wire_open(&io->wire, &farm->url, &farm->options, kind->name, why, sizeof why) != 0) {
        back_off(io, why, false);
        return;
    }
    io->generation++;
    wr_socket_add(&io->socket, wr_wire_fd(io->wire));
    set_fd(io, wr_wire_fd(io->wire));
    if (kind->connected(io) != 0) {
        snprintf(why, sizeof why, "%s", wr_wire_why(io->wire));
        close_wire(io, false);
        back_off(io, why, false);
        return;
    }
    io->wait = 0;
    io->looked = 0;
    set_up(io, true);
    count_connect(io);
}

/* ---- out ---------------------------------------------------------------------------------- */

static void wake_thread(wr_io *io)
{
    wr_debts debts;
    wr_lock(io->farm, &debts);
    wr_want_locked(io->farm, io->which, &debts);
    wr_unlock(io->farm, &debts);
}

/* Unless the socket is full. */
static int send_locked(wr_io *io, int (*send)(wr_io *io))
{
    int code = wr_wire_flush(io->wire);
    if (code || wr_wire_is_full(io->wire))
        return code;
    io->more = false;
    code = send(io);
    return code ? code : wr_wire_flush(io->wire);
}

/* Sends; whether its own thread has something to do. */
static bool leaves_some_locked(wr_io *io)
{
    atomic_store(&io->asked, false);
    if (!io->up || io->broken || io->blocked || !wr_wire_is_buffered(io->wire))
        return true;
    io->broken = send_locked(io, io->kind->send_now) != 0;
    return io->broken || io->more || wr_wire_is_full(io->wire);
}

/* After an unlock: whether somebody found the wire in use. */
static bool was_asked(wr_io *io) { return atomic_load(&io->asked); }

/* Tried again after asking, because who had the wire may have looked before that. The store is
 * seq_cst, so that the second try comes after it; its partner is was_asked. */
static bool try_wire(wr_io *io)
{
    if (pthread_mutex_trylock(&io->wire_lock) == 0)
        return true;
    atomic_store(&io->asked, true);
    return pthread_mutex_trylock(&io->wire_lock) == 0;
}

/* Where the last try finds the wire in use, its user looks. Nobody sends for others for ever. */
void wr_io_send_unlocks(wr_io *io)
{
    int  turns = 8;
    bool rest;
    do {
        rest = leaves_some_locked(io) || --turns == 0;
        pthread_mutex_unlock(&io->wire_lock);
    } while (!rest && was_asked(io) && pthread_mutex_trylock(&io->wire_lock) == 0);
    if (rest)
        wake_thread(io);
}

void wr_io_send(wr_io *io)
{
    if (try_wire(io))
        wr_io_send_unlocks(io);
}

/* The wire's own thread, once a turn. */
static int send_all(wr_io *io)
{
    pthread_mutex_lock(&io->wire_lock);
    atomic_store(&io->asked, false);
    int code = io->broken ? -1 : send_locked(io, io->kind->send);
    code = code ? code : wr_wire_beat(io->wire, io->readable);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

/* ---- in ----------------------------------------------------------------------------------- */

static int handle(wr_io *io, const wr_event *event)
{
    bool blocks = event->kind == WR_BLOCKED;
    if (!blocks && event->kind != WR_UNBLOCKED)
        return io->kind->take(io, event);
    pthread_mutex_lock(&io->wire_lock);
    io->blocked = blocks;
    pthread_mutex_unlock(&io->wire_lock);
    wr_tell(io->farm, blocks ? WEIR_EFULL : 0, "%s of %s: the server takes %s", io->kind->name,
            io->farm->url.shown,
            blocks ? "no messages: memory or disk is short" : "messages again");
    return 0;
}

/* Over TLS heartbeats go out and are looked for while the wire is asked, so it is asked often
 * enough. */
static bool must_look(const wr_io *io)
{
    return io->readable || wr_wire_has_more(io->wire) ||
           weir_now() - io->looked >= io->farm->options.heartbeat_ns / 4;
}

/* It may have to answer. */
static int next(wr_io *io, wr_event *event)
{
    pthread_mutex_lock(&io->wire_lock);
    int code = wr_wire_next(io->wire, event);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

static int take_all(wr_io *io)
{
    wr_event event = {.kind = WR_NOTHING};
    int      code = 0;
    if (!must_look(io))
        return 0;
    io->looked = weir_now();
    do {
        code = next(io, &event);
        if (!code && event.kind != WR_NOTHING)
            code = handle(io, &event);
    } while (!code && event.kind != WR_NOTHING && wr_wire_has_more(io->wire));
    wr_wire_forget(io->wire);
    return code;
}

/* ---- a turn ------------------------------------------------------------------------------ */

/* What comes may bring something to send, so it is taken first. */
static void one_turn(wr_io *io)
{
    int code = take_all(io);
    if (code || send_all(io) != 0)
        lose(io);
}

static bool wants(wr_io *io)
{
    pthread_mutex_lock(&io->farm->lock);
    bool wanted = io->kind->wants_locked(io);
    pthread_mutex_unlock(&io->farm->lock);
    return wanted;
}

/* Milliseconds until there is something to do without being woken; -1: never. */
static int patience(wr_io *io, bool wanted, bool more)
{
    if (io->wire)
        return more || wr_wire_has_more(io->wire)
                   ? 0
                   : (int)(io->farm->options.heartbeat_ns / 4000000) + 1;
    if (!wanted)
        return -1;
    int64_t left = io->retry_at - weir_now();
    return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

/* Whoever changes what this reads wakes us; who found the wire in use was seen by now. */
static void sleep_until_more(wr_io *io)
{
    struct pollfd p[2] = {{.fd = weir_main_fd(io->main), .events = POLLIN}, {.events = POLLIN}};
    pthread_mutex_lock(&io->wire_lock);
    bool full = io->wire && wr_wire_is_full(io->wire), more = io->more && !full;
    pthread_mutex_unlock(&io->wire_lock);
    p[1].fd = io->wire ? wr_wire_fd(io->wire) : -1;
    p[1].events |= full ? POLLOUT : 0;
    more |= was_asked(io);
    poll(p, 2, patience(io, wants(io), more));
    io->readable = p[1].revents & ~POLLOUT;
}

static bool may_end(wr_io *io)
{
    pthread_mutex_lock(&io->farm->lock);
    bool over = wr_is_over_locked(io->farm) && (!io->wire || io->kind->may_end_locked(io));
    pthread_mutex_unlock(&io->farm->lock);
    return over;
}

/* ---- its life ---------------------------------------------------------------------------- */

static void report(wr_io *io, int code)
{
    pthread_mutex_lock(&io->farm->lock);
    io->opened = code;
    pthread_cond_broadcast(&io->farm->changed);
    pthread_mutex_unlock(&io->farm->lock);
}

static void live(wr_io *io)
{
    while (weir_main_dispatch(io->main, 0) >= 0 && !may_end(io)) {
        if (!io->wire && wants(io) && io->retry_at <= weir_now())
            connect_now(io);
        else if (io->wire)
            one_turn(io);
        sleep_until_more(io);
    }
    if (io->wire)
        close_wire(io, true);
    if (io->kind->ends)
        io->kind->ends(io);
}

static int run_io(weir_task *task, void *state)
{
    wr_io *io = wr_of(task, wr_io, task);
    int    code = weir_main_open(&io->main);
    (void)state;
    if (!code)
        wr_bell_hang(&io->farm->bells[io->which], &io->farm->lock, io->main);
    report(io, code);
    if (code)
        return code;
    live(io);
    wr_bell_take_down(&io->farm->bells[io->which]);
    weir_main_close(io->main, WEIR_DETACH);
    return 0;
}

static void ended(weir_task *task) { wr_ended(wr_of(task, wr_io, task)->farm); }

static int until_open(weir_remote *farm, wr_io *io)
{
    pthread_mutex_lock(&farm->lock);
    while (io->opened == 1)
        pthread_cond_wait(&farm->changed, &farm->lock);
    int code = io->opened;
    pthread_mutex_unlock(&farm->lock);
    return code;
}

int wr_io_start(weir_remote *farm, enum wr_which which, const wr_kind *kind)
{
    wr_io *io = calloc(1, sizeof *io);
    if (!io)
        return WEIR_ENOMEM;
    *io = (wr_io){.task = {.run = run_io, .done = ended}, .farm = farm, .kind = kind};
    io->which = which;
    io->opened = 1;
    io->fd = -1;
    wr_list_init(&io->ready);
    wr_list_init(&io->unconfirmed);
    pthread_mutex_init(&io->wire_lock, NULL);
    pthread_mutex_lock(&farm->lock);
    farm->io[which] = io;
    pthread_mutex_unlock(&farm->lock);
    int code = wr_start(farm, &io->task);
    return code ? code : until_open(farm, io);
}

void wr_io_cut_locked(weir_remote *farm)
{
    for (unsigned i = 0; i < WR_IOS; i++)
        if (farm->io[i] && farm->io[i]->fd >= 0 && !farm->io[i]->cut) {
            farm->io[i]->cut = true;
            shutdown(farm->io[i]->fd, SHUT_RDWR);
        }
}

void wr_io_free(weir_remote *farm)
{
    for (unsigned i = 0; i < WR_IOS; i++) {
        if (farm->io[i])
            pthread_mutex_destroy(&farm->io[i]->wire_lock);
        free(farm->io[i]);
    }
}

/* SPDX-License-Identifier: ISC
 *
 * weir-remote-dead [-c FILE] COMMAND URL [ID]: the jobs that weir.dead.kept has, because their
 * workers were lost with them again and again, or no worker took them.
 *
 *   list            each with its id, queue, reason, content type and size
 *   show ID         its bytes, to the standard output
 *   requeue ID|all  puts it back into its queue; whoever waited has been told that it is lost
 *   drop ID|all     forgets it
 *
 * It takes the messages that are there, one after the other, and acknowledges only what it has
 * dropped, or put back with the server's confirm. The others go back when it ends. Each end
 * counts as a delivery, of which this queue allows any number.
 */
#include "form.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    wr_peer     peer;
    const char *command, *id;
    bool        all;
    unsigned    seen, chosen, done;
} dead;

static const char usage[] =
    "usage: weir-remote-dead [-c CREDENTIALS_FILE] list URL\n"
    "       weir-remote-dead [-c CREDENTIALS_FILE] show URL ID\n"
    "       weir-remote-dead [-c CREDENTIALS_FILE] requeue|drop URL ID|all\n"
    "Jobs that ended as dead letters: list prints id, queue, reason, content type and size;\n"
    "show the bytes; requeue has them run again; drop forgets them.\n";

/* What came from the wire is not written to a terminal as it is. */
static void print_text(wr_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        putchar(text.bytes[i] > ' ' && text.bytes[i] < 127 ? text.bytes[i] : '?');
    fputs(text.size ? " " : "- ", stdout);
}

static void list(const wr_message *m)
{
    print_text(m->id);
    print_text(m->queue);
    print_text(m->reason);
    print_text(m->content_type);
    printf("%llu\n", (unsigned long long)m->body_size);
}

/* Whether the server has it now in its queue: a return comes before the confirm. */
static bool is_taken(dead *d)
{
    wr_event answer;
    bool     returned = false;
    for (;;) {
        wr_peer_next(&d->peer, &answer);
        if (answer.kind == WR_ACKED)
            return !returned;
        if (answer.kind == WR_NACKED || answer.kind == WR_NOTHING)
            return false;
        returned |= answer.kind == WR_RETURNED;
    }
}

/* The event's bytes are gone when the answer has come; its tag is kept. */
static bool requeue(dead *d, const wr_event *event)
{
    char       queue[WEIR_REMOTE_NAME_MAX + 16];
    uint64_t   published, tag = event->tag;
    wr_message m = event->message;
    if (event->too_big || !wr_form_job_queue(m.queue, queue, sizeof queue)) {
        fprintf(stderr, "a job stays: it is too large, or its queue is none of jobs\n");
        return false;
    }
    m.key = queue;
    m.mandatory = true;
    m.reason = m.queue = (wr_slice){0};
    if (wr_wire_publish(d->peer.wire, &m, &published) != 0)
        wr_peer_fail(&d->peer);
    if (is_taken(d))
        return wr_wire_ack(d->peer.wire, tag, false) == 0;
    fprintf(stderr, "a job stays: the server does not take it for %s\n", queue);
    return false;
}

static void act(dead *d, const wr_event *event)
{
    bool chosen = d->all || (d->id && wr_slice_is(event->message.id, d->id));
    d->seen++;
    if (!strcmp(d->command, "list"))
        list(&event->message);
    if (!chosen)
        return;
    d->chosen++;
    if (!strcmp(d->command, "show"))
        d->done += fwrite(event->message.body.bytes, 1, event->message.body.size, stdout) ==
                   event->message.body.size;
    else if (!strcmp(d->command, "requeue"))
        d->done += requeue(d, event);
    else if (!strcmp(d->command, "drop"))
        d->done += wr_wire_ack(d->peer.wire, event->tag, false) == 0;
}

static int run(dead *d)
{
    wr_event event;
    bool     there = true;
    for (;;) {
        if (wr_wire_get(d->peer.wire, WR_KEPT_QUEUE, &there) != 0)
            wr_peer_fail(&d->peer);
        if (!there)
            break;
        wr_peer_next(&d->peer, &event);
        if (event.kind != WR_DELIVERED)
            break;
        act(d, &event);
    }
    if (strcmp(d->command, "list") && strcmp(d->command, "show"))
        printf("%u of %u\n", d->done, d->seen);
    if (d->id && !d->all && !d->chosen)
        fprintf(stderr, "%s: %s is none of its %u dead letters\n", d->peer.url.shown, d->id,
                d->seen);
    return strcmp(d->command, "list") && !d->all && !d->done;
}

int main(int argc, char **argv)
{
    dead        d = {0};
    const char *file = NULL;
    int         option;
    opterr = 0;
    while ((option = getopt(argc, argv, "c:")) != -1) {
        if (option != 'c')
            return wr_peer_usage(argv, usage);
        file = optarg;
    }
    d.command = argv[optind] ? argv[optind] : "";
    bool lists = !strcmp(d.command, "list"), shows = !strcmp(d.command, "show");
    bool changes = !strcmp(d.command, "requeue") || !strcmp(d.command, "drop");
    if (argc - optind != (lists ? 2 : 3) || !(lists || shows || changes))
        return wr_peer_usage(argv, usage);
    d.id = lists ? NULL : argv[optind + 2];
    d.all = changes && !strcmp(d.id, "all");
    wr_peer_open(&d.peer, argv[optind + 1], file, "dead");
    int code = run(&d);
    wr_peer_close(&d.peer);
    return code;
}

/* SPDX-License-Identifier: ISC
 *
 * tracks.c: a trace in Perfetto's format, read back by its rules.
 */
#include "tracks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- protocol buffers, read ----------------------------------------------- */

static uint64_t varint(proto_bytes *b)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        expect(b->at < b->end && shift < 64);
        v |= (uint64_t)(*b->at & 127) << shift;
        if (!(*b->at++ & 128))
            return v;
    }
}

static bool next(proto_bytes *b, proto_value *v)
{
    if (b->at == b->end)
        return false;
    uint64_t tag = varint(b);
    *v = (proto_value){.field = (unsigned)(tag >> 3)};
    switch (tag & 7) {
    case 0: v->number = varint(b); break;
    case 1:
        expect(b->end - b->at >= 8);
        memcpy(&v->number, b->at, 8);
        b->at += 8;
        break;
    case 2: {
        uint64_t n = varint(b);
        expect(n <= (uint64_t)(b->end - b->at));
        v->inside = (proto_bytes){b->at, b->at + n};
        b->at += n;
        break;
    }
    default: expect(!"a known kind of field");
    }
    return true;
}

proto_value proto_get(proto_bytes message, unsigned field)
{
    proto_value v;
    while (next(&message, &v))
        if (v.field == field)
            return v;
    return (proto_value){0};
}

bool proto_says(proto_bytes text, const char *what)
{
    return text.at && (size_t)(text.end - text.at) == strlen(what) &&
           memcmp(text.at, what, strlen(what)) == 0;
}

/* ---- a file, by the rules -------------------------------------------------- */

static void see_track(tracks *t, proto_bytes track)
{
    uint64_t    uuid = proto_get(track, 1).number;
    proto_bytes name = proto_get(track, 2).inside;
    expect(uuid > 0 && uuid < TRACKS && !t->name[uuid].at);
    expect(name.at && name.at < name.end);
    expect(uuid == 1 || proto_get(track, 5).number == 1); /* all are of the process */
    t->name[uuid] = name;
}

static void see_flows(tracks *t, proto_bytes event)
{
    proto_value v;
    while (next(&event, &v)) {
        if (v.field != 47 && v.field != 48)
            continue;
        expect_op(v.number, >, 0);
        t->flow[v.number % FLOWS] |= v.field == 47 ? 1 : 2;
    }
}

static void see_event(tracks *t, proto_bytes event, uint64_t at)
{
    uint64_t type = proto_get(event, 9).number, track = proto_get(event, 11).number;
    expect(track > 0 && track < TRACKS && t->name[track].at);
    expect(at >= t->last[track]);
    t->last[track] = at;
    t->events++;
    see_flows(t, event);
    switch (type) {
    case 1:
        t->depth[track]++, t->slices++;
        expect(proto_get(event, 23).inside.at);
        break;
    case 2: expect(t->depth[track]-- > 0); break;
    case 3: t->instants++; break;
    case 4: t->counts++; break;
    default: expect(!"a known type of event");
    }
}

void tracks_load(tracks *t, const char *path)
{
    struct stat s;
    int         fd = open(path, O_RDONLY);
    memset(t, 0, sizeof *t);
    expect(fd >= 0 && fstat(fd, &s) == 0 && s.st_size > 0);
    t->all = malloc((size_t)s.st_size);
    expect(t->all);
    for (off_t n = 0, got; n < s.st_size; n += got)
        expect_op(got = read(fd, t->all + n, (size_t)(s.st_size - n)), >, 0);
    close(fd);
    t->file = (proto_bytes){t->all, t->all + s.st_size};
    proto_value v;
    for (proto_bytes b = t->file; next(&b, &v);) {
        expect_eq(v.field, 1);
        expect_eq(proto_get(v.inside, 10).number, 1);
        if (proto_get(v.inside, 60).inside.at)
            see_track(t, proto_get(v.inside, 60).inside);
        else
            see_event(t, proto_get(v.inside, 11).inside, proto_get(v.inside, 8).number);
    }
}

void tracks_unload(tracks *t) { free(t->all); }

void tracks_expect_closed(const tracks *t)
{
    for (int i = 0; i < TRACKS; i++)
        expect_eq(t->depth[i], 0);
}

void tracks_expect_flows(const tracks *t)
{
    for (int i = 0; i < FLOWS; i++)
        expect(t->flow[i] == 0 || t->flow[i] == 3);
}

proto_bytes tracks_event(const tracks *t, unsigned type, const char *name, int n, uint64_t *at)
{
    proto_value v;
    for (proto_bytes b = t->file; next(&b, &v);) {
        proto_bytes event = proto_get(v.inside, 11).inside;
        if (!event.at || proto_get(event, 9).number != type)
            continue;
        if (!proto_says(proto_get(event, 23).inside, name) || n--)
            continue;
        *at = proto_get(v.inside, 8).number;
        return event;
    }
    expect(!"there is such an event");
    return (proto_bytes){0};
}

bool tracks_have(const tracks *t, const char *name)
{
    for (int i = 0; i < TRACKS; i++)
        if (proto_says(t->name[i], name))
            return true;
    return false;
}

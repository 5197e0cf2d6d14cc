/* SPDX-License-Identifier: ISC
 *
 * worker.c URL: makes thumbnails by libvips, as jobs `thumbs.resize`: source, target, width.
 * The answer is "made", or "there" if the target was there. SIGTERM ends it when the jobs that
 * it has are done.
 *
 * A job may run twice, also at the same time. So each run writes to a file of its own, which
 * then gets the target's name by link: that fails if the name is taken, and nobody sees half
 * an image.
 */
#include <weir_remote.h>

#include <errno.h>
#include <mpack.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vips/vips.h>

enum { PATH = 4096, THREADS = 2 };

typedef struct {
    char     source[PATH], target[PATH];
    unsigned width;
} order;

/* ---- what comes and goes: MessagePack ----------------------------------------------------------
 */

static bool next(mpack_tokbuf_t *in, const char **at, size_t *left, mpack_token_t *token)
{
    return mpack_read(in, at, left, token) == MPACK_OK;
}

/* A text of a message that is whole is one chunk. */
static bool read_text(mpack_tokbuf_t *in, const char **at, size_t *left, char *to)
{
    mpack_token_t token;
    if (!next(in, at, left, &token) ||
        (token.type != MPACK_TOKEN_STR && token.type != MPACK_TOKEN_BIN) || !token.length ||
        token.length >= PATH)
        return false;
    size_t length = token.length;
    if (!next(in, at, left, &token) || token.length != length)
        return false;
    memcpy(to, token.data.chunk_ptr, length);
    to[length] = 0;
    return strlen(to) == length;
}

static bool read_order(weir_request *request, order *o)
{
    mpack_tokbuf_t in = MPACK_TOKBUF_INITIAL_VALUE;
    mpack_token_t  token;
    size_t         left;
    const char    *at = weir_request_bytes(request, &left);
    if (strcmp(weir_request_content_type(request), "application/vnd.msgpack") ||
        !next(&in, &at, &left, &token) || token.type != MPACK_TOKEN_ARRAY || token.length != 3 ||
        !read_text(&in, &at, &left, o->source) || !read_text(&in, &at, &left, o->target) ||
        !next(&in, &at, &left, &token) || token.type != MPACK_TOKEN_UINT || left)
        return false;
    o->width = (unsigned)mpack_unpack_uint(token);
    return o->width > 0 && o->width <= 10000;
}

static int answer(weir_request *request, const char *word)
{
    mpack_tokbuf_t out = MPACK_TOKBUF_INITIAL_VALUE;
    char           bytes[40], *at = bytes;
    size_t         room = sizeof bytes;
    mpack_uint32_t length = (mpack_uint32_t)strlen(word);
    mpack_token_t  tokens[] = {mpack_pack_array(1), mpack_pack_str(length),
                               mpack_pack_chunk(word, length)};
    for (int i = 0; i < 3; i++)
        mpack_write(&out, &at, &room, &tokens[i]);
    return weir_request_reply_as(request, "application/vnd.msgpack", bytes, (size_t)(at - bytes));
}

/* ---- the work
 * ------------------------------------------------------------------------------------ */

/* 0, or -1 with vips' error. */
static int shrink(const order *o, const char *to)
{
    VipsImage *image = NULL;
    int        code = vips_thumbnail(o->source, &image, (int)o->width, NULL);
    code = code ? code : vips_image_write_to_file(image, to, NULL);
    if (image)
        g_object_unref(image);
    return code;
}

static int publish(weir_request *request, const order *o, const char *part)
{
    int code = link(part, o->target), error = errno;
    unlink(part);
    if (code && error != EEXIST)
        return weir_request_fail(request, "System", strerror(error));
    return answer(request, code ? "there" : "made");
}

static int resize(weir_request *request, void *state)
{
    order o;
    char  part[PATH + 64];
    (void)state;
    if (!read_order(request, &o))
        return weir_request_fail(request, "Codec", "expected source, target and width");
    if (access(o.target, F_OK) == 0)
        return answer(request, "there");
    snprintf(part, sizeof part, "%s.%s.%u.part.png", o.target, weir_request_id(request),
             weir_request_attempt(request));
    if (shrink(&o, part) == 0)
        return publish(request, &o, part);
    int code = weir_request_fail(request, "Vips", vips_error_buffer());
    vips_error_clear();
    unlink(part);
    return code;
}

/* ---- the program
 * ---------------------------------------------------------------------------------- */

static int failed(void)
{
    fprintf(stderr, "worker: %s\n", weir_remote_error());
    return 1;
}

static void leave(void *state, void *arg)
{
    (void)state;
    (void)arg;
    vips_thread_shutdown();
}

static void tell(void *arg, int code, const char *sentence)
{
    (void)arg;
    if (code)
        fprintf(stderr, "worker: %s\n", sentence);
}

int main(int argc, char **argv)
{
    weir_remote        *farm;
    weir_pool          *pool;
    weir_handler        handler = {.name = "thumbs.resize", .run = resize};
    weir_pool_options   threads = {.size = sizeof threads, .threads = THREADS, .at_exit = leave};
    weir_remote_options options = {.size = sizeof options, .url = argv[1], .on_event = tell};
    sigset_t            ends;
    int                 signal;
    if (argc != 2 || VIPS_INIT(argv[0]))
        return 2;
    vips_concurrency_set(1); /* the pool has the threads */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (weir_pool_open(&pool, &threads))
        return 1;
    if (weir_remote_open(&farm, &options) || weir_remote_serve(farm, pool, &handler, 1))
        return failed();
    printf("working\n");
    fflush(stdout);
    sigwait(&ends, &signal);
    weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    vips_shutdown();
    return 0;
}

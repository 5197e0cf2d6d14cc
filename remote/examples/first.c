/* SPDX-License-Identifier: ISC
 *
 * first.c [URL]: a job and its handler in one program. With local: (the default) nothing else
 * is needed. With amqp://... the queues must be there: weir-remote-setup URL shout
 */
#include <weir_remote.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int shout(weir_request *request, void *state)
{
    char        text[100];
    size_t      size;
    const char *bytes = weir_request_bytes(request, &size);
    (void)state;
    if (size > sizeof text)
        return weir_request_fail(request, "TooLong", "at most 100 bytes");
    for (size_t i = 0; i < size; i++)
        text[i] = (char)toupper((unsigned char)bytes[i]);
    return weir_request_reply(request, text, size);
}

static void done(weir_job *job)
{
    if (job->outcome == 0)
        printf("%.*s\n", (int)job->result_size, (const char *)job->result);
    else
        printf("%s: %s\n", job->error_name, job->error_text);
}

static int failed(void)
{
    fprintf(stderr, "%s\n", weir_remote_error());
    return 1;
}

int main(int argc, char **argv)
{
    weir_main          *loop;
    weir_pool          *pool;
    weir_remote        *farm;
    weir_job            job = {.done = done};
    weir_handler        handlers[] = {{"shout", shout, 0}};
    weir_pool_options   two = {.size = sizeof two, .threads = 2};
    weir_remote_options options = {.size = sizeof options, .url = argc > 1 ? argv[1] : "local:"};
    weir_job_options    how = {.size = sizeof how, .timeout_ns = 30000000000};

    if (weir_main_open(&loop) || weir_pool_open(&pool, &two))
        return 1;
    how.deliver_to = loop;
    if (weir_remote_open(&farm, &options) || weir_remote_serve(farm, pool, handlers, 1) ||
        weir_remote_run(farm, &job, "shout", "hello", 5, &how))
        return failed();
    while (weir_main_wait(loop, -1) > 0)
        continue;

    weir_remote_close(farm, WEIR_REMOTE_DRAIN, loop, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0);
}

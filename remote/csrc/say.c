/* SPDX-License-Identifier: ISC
 *
 * say: sentences, names, ids.
 */
#define _GNU_SOURCE /* getrandom */
#include "say.h"

#include "weir_remote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static _Thread_local char sentence[WR_SENTENCE];

int wr_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return code;
}

const char *weir_remote_error(void) { return sentence; }

const char *wr_suffix(weir_priority level)
{
    return level == WEIR_HIGH ? ".high" : level == WEIR_LOW ? ".low" : "";
}

bool wr_is_name(const char *name)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t            length = name ? strnlen(name, WEIR_REMOTE_NAME_MAX + 1) : 0;
    return length && length <= WEIR_REMOTE_NAME_MAX && strspn(name, good) == length;
}

int wr_make_id(char id[WR_ID])
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        return wr_fail(WEIR_EAGAIN, "no random bytes for a job's id");
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(id, WR_ID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}

/* SPDX-License-Identifier: ISC
 *
 * error.c: sentences for codes.
 */
#include "weir.h"

const char *weir_strerror(int code)
{
    switch (code) {
    case WEIR_OK: return "success";
    case WEIR_EINVAL: return "invalid argument";
    case WEIR_ENOMEM: return "out of memory";
    case WEIR_EAGAIN: return "no thread or task available now";
    case WEIR_EMFILE: return "out of descriptors";
    case WEIR_ECLOSED: return "closed";
    case WEIR_EFULL: return "the queue is full";
    case WEIR_EBUSY: return "still in use";
    case WEIR_ECANCELED: return "cancelled";
    case WEIR_EEXPIRED: return "not started by its deadline";
    case WEIR_ETIMEDOUT: return "timed out";
    case WEIR_EDEADLK: return "would deadlock: nobody is left to end this wait";
    case WEIR_EINIT: return "a thread's init failed";
    case WEIR_ENOTSUP: return "not supported by this version";
    case WEIR_EPERM: return "not allowed on this thread or in this callback";
    case WEIR_EFORKED: return "the pool's threads stayed behind in the parent process";
    case WEIR_PARK: return "parked";
    default: return "unknown error";
    }
}

const char *weir_version(void) { return WEIR_VERSION; }

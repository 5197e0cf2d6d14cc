/* SPDX-License-Identifier: ISC
 *
 * remote_stubs: each converts, calls one function of weir_remote.h or of the desk, and
 * converts. Whatever may wait is called with the runtime released.
 */
#define CAML_NAME_SPACE
#include "desk.h"

#include <caml/alloc.h>
#include <caml/fail.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <caml/threads.h>
#include <stdlib.h>
#include <string.h>

#define Val_pointer(p) ((value)(p) | 1)
#define Pointer_val(v) ((void *)((v) & ~(value)1))

/* ---- desks ----------------------------------------------------------------------------------- */

value weir_remote_ml_desk_open(value unit)
{
    wb_desk *desk;
    (void)unit;
    if (wb_open(&desk) != 0)
        caml_failwith("Weir_remote: no memory or descriptor for a main");
    return Val_pointer(desk);
}

value weir_remote_ml_desk_close(value desk)
{
    wb_close(Pointer_val(desk));
    return Val_unit;
}

value weir_remote_ml_desk_wait(value desk)
{
    caml_release_runtime_system();
    wb_wait(Pointer_val(desk));
    caml_acquire_runtime_system();
    return Val_unit;
}

value weir_remote_ml_pending(value desk) { return Val_bool(wb_pending(Pointer_val(desk))); }

value weir_remote_ml_nudge(value desk)
{
    wb_nudge(Pointer_val(desk));
    return Val_unit;
}

static value text_or_empty(const char *text) { return caml_copy_string(text ? text : ""); }

static value item_value(const wb_item *item)
{
    CAMLparam0();
    CAMLlocal5(v, bytes, type, name, text);
    bytes = caml_alloc_initialized_string(item->size, item->bytes ? item->bytes : "");
    type = text_or_empty(item->type);
    name = text_or_empty(item->error_name);
    text = text_or_empty(item->error_text);
    v = caml_alloc_small(8, 0);
    Field(v, 0) = Val_int(item->kind);
    Field(v, 1) = Val_long(item->number);
    Field(v, 2) = Val_int(item->outcome);
    Field(v, 3) = bytes;
    Field(v, 4) = type;
    Field(v, 5) = name;
    Field(v, 6) = text;
    Field(v, 7) = Val_pointer(item->request);
    CAMLreturn(v);
}

value weir_remote_ml_desk_take(value desk)
{
    CAMLparam0();
    CAMLlocal2(v, some);
    wb_item *item = wb_take(Pointer_val(desk));
    if (!item)
        CAMLreturn(Val_int(0));
    v = item_value(item);
    wb_item_free(item);
    some = caml_alloc_small(1, 0);
    Field(some, 0) = v;
    CAMLreturn(some);
}

/* ---- farms ------------------------------------------------------------------------------------
 */

static const char *string_option(value v)
{
    return v == Val_int(0) ? NULL : String_val(Field(v, 0));
}

/* The strings are OCaml's, good until the next allocation there. */
static weir_remote_options options_of(value v)
{
    weir_remote_options o = {.size = sizeof o, .url = String_val(Field(v, 0))};
    o.credentials_file = string_option(Field(v, 1));
    o.ca_file = string_option(Field(v, 2));
    o.queue_limit = (unsigned)Long_val(Field(v, 3));
    o.when_full = (weir_full_policy)Int_val(Field(v, 4));
    o.message_limit = (size_t)Long_val(Field(v, 5));
    o.give_up_ns = Long_val(Field(v, 6));
    o.heartbeat_ns = Long_val(Field(v, 7));
    o.reconnect_min_ns = Long_val(Field(v, 8));
    o.reconnect_max_ns = Long_val(Field(v, 9));
    o.reply_life_ns = Long_val(Field(v, 10));
    o.connect_within_ns = Long_val(Field(v, 11));
    o.consumer_timeout_ns = Long_val(Field(v, 12));
    return o;
}

/* The listener is the farm's for good: a few bytes of each that was ever opened, because a farm
 * that nobody closes tells it as long as the process lives. */
value weir_remote_ml_open(value desk, value options)
{
    weir_remote        *farm;
    weir_remote_options o = options_of(options);
    wb_listener        *listener = malloc(sizeof *listener);
    if (!listener)
        caml_raise_out_of_memory();
    *listener = (wb_listener){Pointer_val(desk), 0};
    o.on_event = wb_on_event;
    o.arg = listener;
    int code = weir_remote_open(&farm, &o);
    if (code == WEIR_EINVAL || code == WEIR_ENOTSUP)
        caml_invalid_argument(weir_remote_error());
    if (code)
        caml_failwith(weir_remote_error());
    return Val_pointer(farm);
}

static value option_of(const char *text)
{
    CAMLparam0();
    CAMLlocal2(some, copy);
    if (!text)
        CAMLreturn(Val_int(0));
    copy = caml_copy_string(text);
    some = caml_alloc_small(1, 0);
    Field(some, 0) = copy;
    CAMLreturn(some);
}

value weir_remote_ml_options(value farm)
{
    CAMLparam0();
    CAMLlocal4(v, url, credentials, ca);
    weir_remote_options o = {.size = sizeof o};
    weir_remote_get_options(Pointer_val(farm), &o);
    url = caml_copy_string(o.url);
    credentials = option_of(o.credentials_file);
    ca = option_of(o.ca_file);
    v = caml_alloc_small(13, 0);
    Field(v, 0) = url;
    Field(v, 1) = credentials;
    Field(v, 2) = ca;
    Field(v, 3) = Val_long(o.queue_limit);
    Field(v, 4) = Val_int(o.when_full);
    Field(v, 5) = Val_long(o.message_limit);
    Field(v, 6) = Val_long(o.give_up_ns);
    Field(v, 7) = Val_long(o.heartbeat_ns);
    Field(v, 8) = Val_long(o.reconnect_min_ns);
    Field(v, 9) = Val_long(o.reconnect_max_ns);
    Field(v, 10) = Val_long(o.reply_life_ns);
    Field(v, 11) = Val_long(o.connect_within_ns);
    Field(v, 12) = Val_long(o.consumer_timeout_ns);
    CAMLreturn(v);
}

value weir_remote_ml_close(value farm, value how, value within)
{
    weir_remote *f = Pointer_val(farm);
    int          code;
    caml_release_runtime_system();
    code = weir_remote_close(f, (unsigned)Int_val(how), NULL, Long_val(within));
    caml_acquire_runtime_system();
    return Val_int(code);
}

value weir_remote_ml_stats(value farm)
{
    weir_remote_stats s = {.size = sizeof s};
    weir_remote_get_stats(Pointer_val(farm), &s);
    value v = caml_alloc_small(13, 0);
    Field(v, 0) = Val_bool(s.connected);
    Field(v, 1) = Val_long(s.in_flight);
    Field(v, 2) = Val_long(s.waiting);
    Field(v, 3) = Val_long(s.requests);
    Field(v, 4) = Val_long(s.submitted);
    Field(v, 5) = Val_long(s.settled);
    Field(v, 6) = Val_long(s.published);
    Field(v, 7) = Val_long(s.confirmed);
    Field(v, 8) = Val_long(s.republished);
    Field(v, 9) = Val_long(s.duplicates);
    Field(v, 10) = Val_long(s.refused);
    Field(v, 11) = Val_long(s.served);
    Field(v, 12) = Val_long(s.connects);
    return v;
}

/* An array of farms -> the text; "": none was to be had */
value weir_remote_ml_metrics(value farms)
{
    size_t        n = Wosize_val(farms);
    weir_remote **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = Pointer_val(Field(farms, i));
    char *text = list ? wb_metrics(list, n) : NULL;
    free(list);
    value v = caml_copy_string(text ? text : "");
    free(text);
    return v;
}

/* path: of a file, or "" to end the trace */
value weir_remote_ml_trace(value path)
{
    return Val_int(weir_remote_trace(caml_string_length(path) ? String_val(path) : NULL));
}

/* Copies of the strings of an array, in one block; NULL: no memory. Partner: free. */
static char **strings_of(value array)
{
    size_t n = Wosize_val(array), room = 0;
    for (size_t i = 0; i < n; i++)
        room += caml_string_length(Field(array, i)) + 1;
    char **list = malloc((n + 1) * sizeof *list + room);
    char  *at = list ? (char *)(list + n + 1) : NULL;
    for (size_t i = 0; list && i < n; i++) {
        size_t size = caml_string_length(Field(array, i)) + 1;
        list[i] = memcpy(at, String_val(Field(array, i)), size);
        at += size;
    }
    return list;
}

static char *copy_of(const char *text) { return text ? strdup(text) : NULL; }

value weir_remote_ml_declare(value options, value names)
{
    weir_remote_options o = options_of(options);
    size_t              n = Wosize_val(names);
    char              **list = strings_of(names);
    char               *url = copy_of(o.url), *credentials = copy_of(o.credentials_file),
         *ca = copy_of(o.ca_file);
    int code = WEIR_ENOMEM;
    o.url = url;
    o.credentials_file = credentials;
    o.ca_file = ca;
    if (list && url) {
        caml_release_runtime_system();
        code = weir_remote_declare(&o, (const char *const *)list, n);
        caml_acquire_runtime_system();
    }
    free(list);
    free(url);
    free(credentials);
    free(ca);
    return Val_int(code);
}

value weir_remote_ml_error(value unit)
{
    (void)unit;
    return caml_copy_string(weir_remote_error());
}

/* ---- jobs --------------------------------------------------------------------------------------
 */

typedef struct {
    wb_desk     *desk;
    weir_remote *farm;
    uintptr_t    number;
    wb_job      *job;
} target;

static weir_job_options how_of(value v)
{
    return (weir_job_options){.size = sizeof(weir_job_options),
                              .content_type = String_val(Field(v, 0)),
                              .priority = (weir_priority)Int_val(Field(v, 1)),
                              .start_within_ns = Long_val(Field(v, 2)),
                              .timeout_ns = Long_val(Field(v, 3)),
                              .only_if_wanted = Bool_val(Field(v, 4))};
}

static int run_here(target *t, value name, value bytes, value how)
{
    weir_job_options o = how_of(how);
    return wb_run(t->desk, t->farm, t->number, &t->job, String_val(name), String_val(bytes),
                  caml_string_length(bytes), &o);
}

/* On a farm that blocks when it is full: copies, because OCaml's strings move meanwhile. */
static int run_released(target *t, value name, value bytes, value how)
{
    weir_job_options o = how_of(how);
    size_t           size = caml_string_length(bytes);
    char *n = copy_of(String_val(name)), *b = malloc(size + 1), *type = copy_of(o.content_type);
    int   code = WEIR_ENOMEM;
    if (n && b && type) {
        memcpy(b, String_val(bytes), size);
        o.content_type = type;
        caml_release_runtime_system();
        code = wb_run(t->desk, t->farm, t->number, &t->job, n, b, size, &o);
        caml_acquire_runtime_system();
    }
    free(n);
    free(b);
    free(type);
    return code;
}

value weir_remote_ml_run(value desk, value farm, value number, value name, value bytes, value how)
{
    target t = {Pointer_val(desk), Pointer_val(farm), (uintptr_t)Long_val(number), NULL};
    int    code = Bool_val(Field(how, 5)) ? run_released(&t, name, bytes, how)
                                          : run_here(&t, name, bytes, how);
    value  pair = caml_alloc_small(2, 0);
    Field(pair, 0) = Val_int(code);
    Field(pair, 1) = Val_pointer(t.job);
    return pair;
}

value weir_remote_ml_run_bytes(value *args, int n)
{
    (void)n;
    return weir_remote_ml_run(args[0], args[1], args[2], args[3], args[4], args[5]);
}

value weir_remote_ml_job_id(value job) { return caml_copy_string(wb_id(Pointer_val(job))); }
value weir_remote_ml_cancel(value job) { return Val_int(wb_cancel(Pointer_val(job))); }

value weir_remote_ml_unref(value job)
{
    wb_unref(Pointer_val(job));
    return Val_unit;
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

value weir_remote_ml_serve(value desk, value farm, value names, value within, value at_once)
{
    size_t   n = Wosize_val(names);
    char   **list = strings_of(names);
    int64_t *limits = calloc(n + 1, sizeof *limits);
    int      code = WEIR_ENOMEM;
    for (size_t i = 0; limits && i < n; i++)
        limits[i] = Long_val(Field(within, i));
    if (list && limits)
        code = wb_serve(Pointer_val(desk), Pointer_val(farm), (const char *const *)list, limits, n,
                        (unsigned)Long_val(at_once));
    free(list);
    free(limits);
    return Val_int(code);
}

value weir_remote_ml_request_info(value request)
{
    CAMLparam0();
    CAMLlocal5(v, name, id, argument, type);
    weir_request *r = Pointer_val(request);
    size_t        size;
    const char   *bytes = weir_request_bytes(r, &size);
    name = caml_copy_string(weir_request_name(r));
    id = caml_copy_string(weir_request_id(r));
    argument = caml_alloc_initialized_string(size, size ? bytes : "");
    type = caml_copy_string(weir_request_content_type(r));
    v = caml_alloc_small(6, 0);
    Field(v, 0) = name;
    Field(v, 1) = id;
    Field(v, 2) = Val_long(weir_request_attempt(r));
    Field(v, 3) = Val_int(weir_request_priority(r));
    Field(v, 4) = argument;
    Field(v, 5) = type;
    CAMLreturn(v);
}

value weir_remote_ml_cancelled(value request)
{
    return Val_bool(weir_request_cancelled(Pointer_val(request)));
}

value weir_remote_ml_reply(value request, value type, value bytes)
{
    return Val_int(weir_request_reply_as(Pointer_val(request), String_val(type), String_val(bytes),
                                         caml_string_length(bytes)));
}

value weir_remote_ml_fail(value request, value name, value text)
{
    return Val_int(weir_request_fail(Pointer_val(request), String_val(name), String_val(text)));
}

value weir_remote_ml_retry(value request)
{
    return Val_int(weir_request_retry(Pointer_val(request)));
}

/* The number of an item -> 0, or why its handler is not to run */
value weir_remote_ml_begin(value number) { return Val_int(wb_begin((uintptr_t)Long_val(number))); }

value weir_remote_ml_release(value request)
{
    wb_release(Pointer_val(request));
    return Val_unit;
}

/* SPDX-License-Identifier: ISC
 *
 * ml_metrics.c: the core's text for Prometheus.
 */
#define CAML_NAME_SPACE
#include "ml.h"

/* bytes -> how long the text is; as much of it as fits, with a 0 byte, is in the bytes */
value weir_ml_metrics(value buffer)
{
    return Val_long(weir_metrics((char *)Bytes_val(buffer), caml_string_length(buffer)));
}

/* SPDX-License-Identifier: ISC
 *
 * client: jobs of this process, whichever way they go.
 */
#ifndef WR_CLIENT_H
#define WR_CLIENT_H

#include "request.h"

/* A flight with one reference and none of its farm yet, or NULL: no memory. */
wr_flight *wr_flight_new(weir_remote *farm, weir_job *job, const char *name, const void *bytes,
                         size_t size, const weir_job_options *options);
/* Sets its alarm to whichever of its times comes first. */
void wr_flight_arm_locked(wr_flight *f, wr_debts *debts);
/* A farm without a connection has a job: it will be given up. */
void wr_client_wait_locked(weir_remote *farm, wr_debts *debts);
void wr_client_give_up(wr_alarm *alarm, wr_debts *debts); /* rings */
/* The farm whose done the calling thread is in, or NULL. */
weir_remote *wr_flight_here(void);

#endif

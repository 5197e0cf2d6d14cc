/* SPDX-License-Identifier: ISC
 *
 * notice.c: telling an owner that something ended, or came.
 */
#include "mailbox/notice.h"

void wi_notice_tell(weir_notice *notice)
{
    weir_main *m = notice->weir.main;
    notice->fn(notice, notice->weir.outcome);
    if (m)
        wi_main_came(m);
}

static void begin_notice(weir_link *e, weir_delivery *d)
{
    d->notice = wi_container(e, weir_notice, weir.link);
    d->outcome = d->notice->weir.outcome;
}

static void run_notice(weir_delivery *d) { d->notice->fn(d->notice, d->outcome); }

static const struct weir_kind a_notice = {begin_notice, run_notice, NULL, WI_OTHERS};

int wi_notice_expect(weir_notice *notice, weir_main *main)
{
    if (!notice)
        return 0;
    if (!notice->fn)
        return WEIR_EINVAL;
    notice->weir.link.kind = &a_notice;
    notice->weir.main = main;
    return !main || wi_main_expect(main) ? 0 : WEIR_ECLOSED;
}

void wi_notice_post(weir_notice *notice, int outcome)
{
    if (!notice)
        return;
    notice->weir.outcome = outcome;
    if (!notice->weir.main || !wi_main_post(notice->weir.main, &notice->weir.link))
        wi_notice_tell(notice);
}

/* ---- for others ------------------------------------------------------------ */

int weir_notice_expect(weir_notice *notice, weir_main *main)
{
    return notice && main ? wi_notice_expect(notice, main) : WEIR_EINVAL;
}

void weir_notice_post(weir_notice *notice, int outcome) { wi_notice_post(notice, outcome); }

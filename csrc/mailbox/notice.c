/* SPDX-License-Identifier: ISC
 *
 * notice.c: telling an owner that something ended, or came.
 */
#include "mailbox/main.h"

int wi_notice_expect(weir_notice *notice, weir_main *main)
{
    if (!notice)
        return 0;
    if (!notice->fn)
        return WEIR_EINVAL;
    notice->weir.main = main;
    return !main || wi_main_expect(main) ? 0 : WEIR_ECLOSED;
}

void wi_notice_post(weir_notice *notice, int outcome)
{
    if (!notice)
        return;
    weir_main *m = notice->weir.main;
    notice->weir.outcome = outcome;
    if (m && wi_main_post(m, &notice->weir.link, WI_NOTICE))
        return;
    notice->fn(notice, outcome);
    if (m)
        wi_main_came(m);
}

void wi_notice_delivered(weir_link *e, weir_main *m)
{
    weir_notice *notice = wi_container(e, weir_notice, weir.link);
    notice->fn(notice, notice->weir.outcome);
    wi_main_came(m);
}

/* ---- for others ------------------------------------------------------------ */

int weir_notice_expect(weir_notice *notice, weir_main *main)
{
    return notice && main ? wi_notice_expect(notice, main) : WEIR_EINVAL;
}

void weir_notice_post(weir_notice *notice, int outcome) { wi_notice_post(notice, outcome); }

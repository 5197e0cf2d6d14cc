/* SPDX-License-Identifier: ISC
 *
 * notice.c: telling an owner that something ended, or came.
 *
 * A notice is expected by its main, and posted later. A fork may come between. Its child
 * cannot know whether it will post the notice, so it counts it as nothing to come, and keeps
 * the main's memory for it (`notices`). The post sees by `forks` that the count is forgotten:
 * then the main expects the notice once more, and the hold is given back.
 *
 *   given      the notice is                       next
 *   FREE       nobody's                            TAKEN: somebody gives it
 *   TAKEN      a pool's, being given, or posted    EXPECTED: weir_notice_expect returns
 *                                                  FREE: its fn begins, or it was refused
 *   EXPECTED   awaited by its main                 TAKEN: weir_notice_post
 *
 * Of two that give it, or post it, the one that swaps the word first does. A fork leaves the word
 * as it is, because the child tells what the parent would have told; of what it will not tell
 * (pool/fork.c) the word is FREE.
 */
#include "mailbox/notice.h"

#include "mailbox/pending.h"

enum { FREE, TAKEN, EXPECTED };

/* False: it is not what it should be. */
static bool swap_given(weir_notice *n, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&n->weir.given, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

void wi_notice_free(weir_notice *notice)
{
    __atomic_store_n(&notice->weir.given, FREE, __ATOMIC_SEQ_CST);
}

void wi_notice_tell(weir_notice *notice)
{
    weir_main *m = notice->weir.main;
    int        outcome = notice->weir.outcome;
    wi_notice_free(notice);
    notice->fn(notice, outcome);
    if (m)
        wi_main_came(m);
}

static void begin_notice(weir_link *e, weir_delivery *d)
{
    d->notice = wi_container(e, weir_notice, weir.link);
    d->outcome = d->notice->weir.outcome;
    wi_notice_free(d->notice);
}

static void run_notice(weir_delivery *d) { d->notice->fn(d->notice, d->outcome); }

static const struct weir_kind a_notice = {begin_notice, run_notice, NULL, WI_OTHERS, NULL};

int wi_notice_expect(weir_notice *notice, weir_main *main)
{
    if (!notice)
        return 0;
    if (!notice->fn)
        return WEIR_EINVAL;
    if (!swap_given(notice, FREE, TAKEN))
        return WEIR_EBUSY;
    notice->weir.link.kind = &a_notice;
    notice->weir.main = main;
    if (!main)
        return 0;
    notice->weir.forks = main->forks;
    if (!wi_main_expect(main)) {
        wi_notice_free(notice);
        return WEIR_ECLOSED;
    }
    atomic_fetch_add(&main->notices, 1);
    if (notice->weir.forks != main->forks) /* on_busy has forked: this is the child */
        wi_main_hold(main);
    return 0;
}

void wi_notice_leaves(weir_notice *notice) { atomic_fetch_sub(&notice->weir.main->notices, 1); }

/* on_busy is told last, because it may fork too. */
static bool post_in_child(weir_notice *notice, weir_main *m)
{
    bool own = m->owner == wi_thread_self();
    m->depth += own;
    bool open = wi_main_expect(m);
    m->depth -= own;
    if (!open)
        notice->weir.main = NULL; /* it is counted nowhere */
    bool posted = open && wi_main_post(m, &notice->weir.link);
    wi_main_release(m);
    if (posted && own)
        wi_main_look_busy(m);
    return posted;
}

static bool post(weir_notice *notice, weir_main *m)
{
    wi_notice_leaves(notice);
    return notice->weir.forks == m->forks ? wi_main_post(m, &notice->weir.link)
                                          : post_in_child(notice, m);
}

void wi_notice_post(weir_notice *notice, int outcome)
{
    if (!notice)
        return;
    notice->weir.outcome = outcome;
    if (!notice->weir.main || !post(notice, notice->weir.main))
        wi_notice_tell(notice);
}

/* ---- for others ------------------------------------------------------------ */

int weir_notice_expect(weir_notice *notice, weir_main *main)
{
    int rc = notice && main ? wi_notice_expect(notice, main) : WEIR_EINVAL;
    if (rc == 0)
        swap_given(notice, TAKEN, EXPECTED);
    return rc;
}

int weir_notice_post(weir_notice *notice, int outcome)
{
    if (!notice || !swap_given(notice, EXPECTED, TAKEN))
        return WEIR_EINVAL;
    wi_notice_post(notice, outcome);
    return 0;
}

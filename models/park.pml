/* SPDX-License-Identifier: ISC
 *
 * park.pml: the queue, the LIFO of idle workers with timeouts, and throttled, chained
 * wakes (csrc/pool/holdings.c, owed.c, run.c, staff.c, worker.c). What happens under the
 * pool's lock is one step; popping a worker and unparking it are two.
 */
//! ok    plain             -DW=2 -DN=4
//! ok    blocking-tasks    -DW=3 -DN=4 -DBLOCK=2
//! ok    blocking-done     -DW=3 -DN=3 -DBLOCK=1 -DDONE -DPRODUCERS=1
//! ok    task-taken-back   -DW=2 -DN=3 -DCANCEL
//! ok    idle-timeout      -DW=2 -DN=4 -DTIMED
//! ok    idle-retires      -DW=3 -DN=3 -DBLOCK=1 -DTIMED -DRETIRE -DPRODUCERS=1
//! ok    two-searchers     -DW=3 -DN=4 -DBLOCK=2 -DSEARCHERS=2
//! ok    two-and-timeout   -DW=3 -DN=3 -DBLOCK=1 -DTIMED -DSEARCHERS=2 -DPRODUCERS=1
//! found no-recheck        -DW=2 -DN=4 -DBUG_NO_RECHECK : assertion violated
//! found stale-wake        -DW=2 -DN=4 -DBUG_STALE_WAKE : assertion violated
//! found wake-first        -DW=2 -DN=2 -DBUG_WAKE_FIRST : assertion violated
//! found no-chaining       -DW=3 -DN=4 -DBLOCK=2 -DBUG_NO_CHAIN : assertion violated
//! found timeout-stale     -DW=2 -DN=4 -DTIMED -DBUG_TIMEOUT_STALE : assertion violated
//! found timeout-searching -DW=2 -DN=4 -DTIMED -DBUG_TIMEOUT_SEARCHING : assertion violated
//! found retires-popped    -DW=3 -DN=3 -DBLOCK=1 -DTIMED -DRETIRE -DBUG_RETIRES_POPPED : assertion violated
//! found done-chains-not   -DW=2 -DN=2 -DDONE -DBUG_DONE_CHAINS_NOT : assertion violated
//! found searcher-for-ever -DW=2 -DN=3 -DCANCEL -DBUG_SEARCHER_FOR_EVER : assertion violated

#ifndef BLOCK
#define BLOCK 0 /* tasks below this number wait until every task has started */
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifdef DONE
#define PRODUCED (N - 1)
#else
#define PRODUCED N
#endif
#ifndef SEARCHERS
#define SEARCHERS 1 /* so many may be on their way at once */
#endif
#define NONE 255

chan queue = [N] of { byte };
byte n_queued = 0;
byte idle[W], n_idle = 0;
byte searching = 0;
bool woken[W], token[W];
bool settled; /* a done without a main waits for a worker */
byte retired = 0; /* workers that had nothing to do until their timeout */
byte started = 0, cancelled = 0, ran[N], told = 0;

/* No task waits beside an idle worker while nobody looks. Whoever unlocks says so. */
#define conserved (!(n_queued > 0 && n_idle > 0 && !searching))

inline put(t) { queue!t; n_queued++ }
inline get(t) { queue?t; n_queued-- }

inline pop_idle(w)
{
    n_idle--;
    w = idle[n_idle];
    idle[n_idle] = 0
}

inline wake_one(w)
{
    w = NONE;
    if
    :: searching < SEARCHERS && n_idle > 0 && n_queued > 0 ->
        pop_idle(w); searching++; woken[w] = true
    :: else
    fi
}

/* A second one: only beside the first */
inline wake_two(w, too)
{
    wake_one(w);
#if SEARCHERS > 1
    if
    :: w != NONE && n_queued > 1 -> wake_one(too)
    :: else -> too = NONE
    fi
#endif
}

inline unpark_two(w, too)
{
    unpark(w);
#if SEARCHERS > 1
    unpark(too)
#endif
}

inline unpark(w)
{
    if
    :: atomic { w != NONE -> assert(!token[w]); token[w] = true; w = NONE }
    :: else
    fi
}

inline submit(t)
{
#ifdef BUG_WAKE_FIRST
    atomic {
        w = NONE;
        if
        :: !searching && n_idle > 0 -> pop_idle(w); searching++; woken[w] = true
        :: else
        fi
    }
    unpark(w);
    put(t)
#else
    atomic { put(t); wake_two(w, too); assert(conserved) }
    unpark_two(w, too)
#endif
}

/* Two of them submit the even and the odd tasks. */
active [PRODUCERS] proctype producer()
{
    byte t = _pid, w = NONE, too = NONE;
    do
    :: t < PRODUCED -> submit(t); t = t + PRODUCERS
    :: else -> break
    od
}

#ifdef DONE
/* weir_run that drops the oldest, which has no main: a done and a task in one hold, and
 * wi_pool_unlock_owing(). Whoever is woken may take either. */
active proctype dropper()
{
    byte w = NONE, too = NONE;
    atomic {
        settled = true;
        put(N - 1);
        wake_two(w, too);
        if
        :: w == NONE && n_idle > 0 -> pop_idle(w) /* teller_locked() */
        :: else
        fi;
        assert(conserved)
    }
    unpark_two(w, too)
}
#endif

#ifdef CANCEL
/* Takes whatever is first back, so that a searcher may find nothing. */
active proctype canceller()
{
    byte t;
    if
    :: atomic { n_queued > 0 -> get(t); cancelled++ }
    :: skip
    fi
}
#endif

inline execute(t)
{
    atomic { ran[t]++; started++ }
    if
    :: t < BLOCK -> started + cancelled == N
    :: else
    fi
}

inline clear_searcher()
{
    if
    :: woken[me] -> woken[me] = false; searching--
    :: else
    fi
}

/* Off the idle list, wherever it stands there; found: it stood there. */
inline leave_idle(found)
{
    at = 0;
    do
    :: at < n_idle && idle[at] != me -> at++
    :: else -> break
    od;
    found = (at < n_idle);
    do
    :: at + 1 < n_idle -> idle[at] = idle[at + 1]; at++
    :: else -> break
    od;
    if
    :: found -> n_idle--; idle[n_idle] = 0
    :: else
    fi;
    at = 0
}

proctype worker(byte me)
{
    byte t, other = NONE, too = NONE, at = 0;
    bool found, may_expire = true;
look:
    atomic {
        if
        :: settled ->
            settled = false;
#ifndef BUG_DONE_CHAINS_NOT
            wake_two(other, too); /* wi_pool_tell_settled_relocks() */
#endif
            goto tell
        :: !settled && n_queued > 0 ->
            get(t);
#ifdef BUG_SEARCHER_FOR_EVER
            clear_searcher();
#endif
#ifndef BUG_NO_CHAIN
            wake_two(other, too); assert(conserved);
#endif
            goto take
        :: else
        fi;
#ifdef BUG_NO_RECHECK
    }
    atomic {
#endif
        assert(n_idle < W);
        idle[n_idle] = me; n_idle++; assert(conserved)
    }
#ifdef BUG_STALE_WAKE
    /* lingers: looks once more, and forgets that somebody may have popped it */
    atomic {
        if
        :: n_queued > 0 -> leave_idle(found); get(t); clear_searcher(); goto take
        :: else
        fi
    }
#endif
end_park:
    if
    :: atomic { token[me] ->
            token[me] = false;
#ifndef BUG_SEARCHER_FOR_EVER
            clear_searcher();
#endif
            goto look /* under the same hold */
        }
#ifdef TIMED
    :: atomic { may_expire -> may_expire = false } goto expired /* once, so that there is an end */
#endif
    fi;
#ifdef TIMED
expired: /* timed_out_relocks() */
    atomic {
        leave_idle(found);
        if
#ifdef RETIRE
        :: found && retired == 0 -> retired++; goto gone
        :: found && retired > 0 -> goto look
#else
        :: found -> goto look
#endif
#ifdef BUG_TIMEOUT_STALE
        :: !found -> clear_searcher(); goto look
#elif defined(BUG_RETIRES_POPPED)
        :: !found -> retired++; goto gone
#else
        :: !found /* somebody has popped it: the token is there, or comes */
#endif
        fi
    }
    atomic {
        token[me] -> token[me] = false;
#ifndef BUG_TIMEOUT_SEARCHING
        clear_searcher();
#endif
        goto look
    }
#endif
take:
    unpark_two(other, too);
    execute(t);
    atomic { wake_two(other, too); assert(conserved) } /* weir_worker_settle */
    unpark_two(other, too);
    goto look;
tell:
    unpark_two(other, too);
    told++;
    started + cancelled == N; /* a done as slow as can be */
    goto look;
gone:
    skip
}

init {
    byte i;
    atomic {
        for (i : 0 .. W - 1) { run worker(i) }
    }
    timeout;
    assert(started + cancelled == N && n_queued == 0);
    for (i : 0 .. N - 1) { assert(ran[i] <= 1) }
    assert(n_idle == W - retired && !searching);
    for (i : 0 .. W - 1) { assert(!token[i] && !woken[i]) }
#ifdef DONE
    assert(told == 1)
#endif
}

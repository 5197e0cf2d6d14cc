/* SPDX-License-Identifier: ISC
 *
 * inbox.pml: submits without the lock, `must_lock`, and a close that shuts the inbox
 * (csrc/pool/queue.c, staff.c). Pushes happen between any two steps, so a hold of the lock
 * has as many steps as it has looks at what pushes change.
 */
//! ok    plain             -DW=2 -DN=3
//! ok    blocking-tasks    -DW=2 -DN=3 -DBLOCK=1
//! ok    close             -DW=2 -DN=3 -DCLOSE
//! ok    lots              -DW=2 -DN=3 -DLOTS -DBLOCK=1
//! ok    lots-lingering    -DW=2 -DN=3 -DLOTS -DLINGER -DCLOSE
//! ok    lingering         -DW=2 -DN=3 -DLINGER -DBLOCK=1
//! ok    lingering-closed  -DW=2 -DN=3 -DLINGER -DCLOSE
//! found offers-blindly    -DW=1 -DN=2 -DBUG_OFFER_BLIND : assertion violated
//! found sleep-without-look -DW=1 -DN=2 -DBUG_SLEEP_BLIND : assertion violated
//! found awake-and-listed  -DW=2 -DN=3 -DBUG_AWAKE_AND_LISTED : assertion violated
//! found look-then-must-lock -DW=1 -DN=2 -DBUG_LOOK_FIRST : assertion violated
//! found need-looks-first  -DW=2 -DN=3 -DBLOCK=1 -DBUG_NEED_LOOKS_FIRST : assertion violated
//! found must-lock-forgotten -DW=2 -DN=3 -DBLOCK=1 -DBUG_MUST_LOCK_FORGOTTEN : assertion violated
//! found linger-searches   -DW=2 -DN=3 -DLINGER -DBUG_LINGER_SEARCHES : assertion violated
//! found linger-blind      -DW=2 -DN=3 -DLINGER -DBUG_LINGER_BLIND : assertion violated
//! found not-shut          -DW=1 -DN=2 -DCLOSE -DBUG_NOT_SHUT : assertion violated
//! found shut-loses        -DW=1 -DN=2 -DCLOSE -DBUG_SHUT_LOSES : assertion violated

#ifndef BLOCK
#define BLOCK 0 /* tasks below this number wait until every task has started or ended */
#endif
#define NONE 255
#ifdef LINGER
#define LINGERED false
#else
#define LINGERED true
#endif

chan inbox = [N] of { byte };
byte n_in = 0;
bool shut, must_lock;

bool lock;
/* Guarded by lock. */
chan queue = [N] of { byte };
byte n_queued = 0;
byte idle[W], n_idle = 0;
bool searching, woken[W], closing;

bool token[W];
byte started = 0, closed = 0, refused = 0, gone = 0, ran[N];

#define must_lock_now (!searching && n_idle > 0)
#define all_over    (started + closed + refused == N)

inline take_in()
{
    do
    :: n_in > 0 -> inbox?x; queue!x; n_in--; n_queued++
    :: else -> x = 0; break
    od
}

/* While a task is at hand nobody looks into the inbox. */
inline take_in_if_out()
{
    if
    :: n_queued == 0 -> take_in()
    :: else
    fi
}

inline acquire() { atomic { !lock -> lock = true } }

/* wi_pool_need_locked() and the unlock; w: who is to be unparked then */
inline decide_and_unlock(w)
{
    w = NONE;
#ifdef BUG_NEED_LOOKS_FIRST
    atomic { take_in() }
    must_lock = must_lock_now;
#elif defined(BUG_MUST_LOCK_FORGOTTEN)
    take_in();
#else
    must_lock = must_lock_now;
#endif
    atomic {
        if
        :: must_lock_now ->
#ifndef BUG_NEED_LOOKS_FIRST
            take_in_if_out();
#endif
            if
            :: n_queued > 0 ->
                n_idle--; w = idle[n_idle]; idle[n_idle] = 0;
                searching = true; woken[w] = true; must_lock = false
            :: else
            fi
        :: else
        fi;
        lock = false
    }
    if
    :: atomic { w != NONE -> token[w] = true; w = NONE }
    :: else
    fi
}

active [2] proctype submitter()
{
    byte t = _pid, w, x;
    do
    :: t < N ->
        if
        :: must_lock -> goto locked
        :: else
        fi;
        if
        :: atomic { shut -> goto locked }
        :: atomic { !shut -> inbox!t; n_in++ }
#ifndef BUG_OFFER_BLIND
            if
            :: must_lock -> acquire(); decide_and_unlock(w)
#ifdef LOTS /* take_in_lot(): the offer ended a lot, and nobody has the lock */
            :: atomic { !must_lock && !lock -> lock = true; take_in() }
                decide_and_unlock(w)
#endif
            :: !must_lock
            fi
#endif
            goto next
        fi;
locked: acquire();
        atomic {
            if
            :: closing -> refused++
            :: else -> take_in(); queue!t; n_queued++
            fi
        }
        decide_and_unlock(w);
next:   t = t + 2
    :: else -> break
    od
}

#ifdef CLOSE
active proctype closer()
{
    byte x;
    acquire();
    closing = true;
#ifndef BUG_SHUT_LOSES
    atomic {
        take_in(); /* the same exchange */
#endif
#ifndef BUG_NOT_SHUT
        shut = true;
#endif
#ifdef BUG_SHUT_LOSES
    atomic {
        do
        :: n_in > 0 -> inbox?x; n_in--
        :: else -> break
        od;
#endif
        do
        :: n_queued > 0 -> queue?x; n_queued--; closed++
        :: else -> break
        od;
        do
        :: n_idle > 0 -> n_idle--; token[idle[n_idle]] = true; idle[n_idle] = 0
        :: else -> x = 0; break
        od;
        lock = false
    }
}
#endif

proctype worker(byte me)
{
    byte t, other, x;
    bool lingered, goes_on = false; /* from a task to the next */
look:
    lingered = LINGERED;
    acquire();
look_on: /* next_relocks() */
    atomic {
        take_in_if_out();
        if
        :: closing -> gone++; lock = false; goto leave
        :: !closing && n_queued > 0 -> queue?t; n_queued--; goto take
        :: else
        fi
    }
    /* wi_pool_linger_relocks(): for any time, once, or not at all */
    if
    :: atomic { !lingered && !searching ->
            goes_on = false; lingered = true; searching = true; woken[me] = true; must_lock = false; lock = false }
        atomic { !lock -> lock = true
#ifndef BUG_LINGER_SEARCHES
            searching = false
#endif
        }
        woken[me] = false;
#ifndef BUG_LINGER_BLIND
        goto look_on
#endif
    :: true
    fi;
    /* wi_pool_sleep_relocks() */
#ifdef BUG_LOOK_FIRST
    if
    :: n_in > 0 -> goto look_on
    :: else
    fi;
#endif
    atomic { assert(n_idle < W); idle[n_idle] = me; n_idle++; must_lock = must_lock_now }
#if !defined(BUG_LOOK_FIRST) && !defined(BUG_SLEEP_BLIND)
    atomic {
        if
        :: must_lock && n_in > 0 ->
#ifndef BUG_AWAKE_AND_LISTED
            n_idle--; idle[n_idle] = 0; /* ours is the last */
#endif
            goto look_on
        :: else
        fi
    }
#endif
    goes_on = false; lock = false;
end_park:
    atomic {
        token[me] && !lock -> token[me] = false; lock = true;
        if
        :: woken[me] -> woken[me] = false; searching = false
        :: else
        fi;
        goto look_on
    }
take: /* unlock_after_turn() */
    if
    :: goes_on && !must_lock -> lock = false
    :: else -> decide_and_unlock(other)
    fi;
    goes_on = true;
    atomic { ran[t]++; started++ }
    if
    :: t < BLOCK -> all_over
    :: else
    fi;
    goto look;
leave:
    skip
}

init {
    byte i;
    atomic {
        for (i : 0 .. W - 1) { run worker(i) }
    }
    timeout;
    assert(all_over && n_in == 0 && n_queued == 0 && !lock);
    for (i : 0 .. N - 1) { assert(ran[i] <= 1) }
    assert(n_idle + gone == W);
    assert(gone == 0 || closing)
}

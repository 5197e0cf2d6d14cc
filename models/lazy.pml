/* SPDX-License-Identifier: ISC
 *
 * lazy.pml: a pool of none: its one thread retires as soon as it idles, and a submit
 * without the lock brings one back (csrc/pool/life.c, owed.c, run.c, staff.c). An at_exit
 * lasts until all else is over. As in inbox.pml a hold of the lock has a step for each
 * look at what pushes change.
 */
//! ok    plain              -DN=3
//! ok    paused             -DN=2 -DPAUSE
//! ok    refused            -DN=3 -DREFUSALS=2
//! ok    drained            -DN=3 -DREFUSALS=1 -DDRAIN
//! ok    drained-paused     -DN=2 -DPAUSE -DDRAIN
//! ok    closed             -DN=3 -DREFUSALS=1 -DDRAIN -DCLOSE
//! found must-lock-forgotten -DN=2 -DBUG_MUST_LOCK_IDLE_ONLY : assertion violated
//! found offers-blindly     -DN=2 -DBUG_OFFER_BLIND : assertion violated
//! found refused-keeps      -DN=2 -DREFUSALS=1 -DBUG_REFUSED_KEEPS : assertion violated
//! found refused-for-long   -DN=3 -DREFUSALS=1 -DBUG_REFUSED_UNTIL : assertion violated
//! found hires-two          -DN=3 -DBUG_EXPECTED_FORGOTTEN : assertion violated
//! found leaver-counts      -DN=2 -DBUG_LEAVER_COUNTS : assertion violated
//! found drain-gives-up     -DN=2 -DPAUSE -DDRAIN -DBUG_DRAIN_GIVES_UP : assertion violated
//! found drain-hires-not    -DN=2 -DPAUSE -DDRAIN -DBUG_DRAIN_HIRES_NOT : assertion violated
//! found resume-hires-not   -DN=2 -DPAUSE -DBUG_RESUME_HIRES_NOT : assertion violated
//! found over-before-comer  -DN=2 -DDRAIN -DCLOSE -DBUG_OVER_BEFORE_COMER : assertion violated

#ifndef REFUSALS
#define REFUSALS 0 /* threads that the system may refuse */
#endif
#define THREADS 6 /* ever, at most */
#define NONE    255

chan inbox = [N] of { byte };
byte n_in = 0;
bool shut, must_lock = true;

bool lock;
/* Guarded by lock. */
chan queue = [N] of { byte };
byte n_queued = 0, running = 0;
byte idle = NONE;
bool searching, woken[THREADS], paused, draining, closing, over;
byte serving = 0, leaving = 0, expected = 0;
bool refused_lately;

byte threads = 0, refusals = REFUSALS;
bool token[THREADS];
byte started = 0, settled = 0, turned_away = 0, ran[N];

#define present (serving - leaving)
#ifdef BUG_LEAVER_COUNTS
#define room (serving < 1)
#else
#define room (present < 1)
#endif
#ifdef BUG_MUST_LOCK_IDLE_ONLY
#define must_lock_now (!searching && !paused && idle != NONE)
#else
#define must_lock_now (!searching && !paused && (idle != NONE || room))
#endif
#ifdef BUG_EXPECTED_FORGOTTEN
#define nobody_comes true
#else
#define nobody_comes (expected == 0)
#endif
#ifdef BUG_REFUSED_UNTIL
#define may_try (!refused_lately)
#else
#define may_try (present == 0 || !refused_lately)
#endif
#define all_over (started + settled + turned_away == N)

inline take_in()
{
    do
    :: n_in > 0 -> inbox?x; queue!x; n_in--; n_queued++
    :: else -> x = 0; break
    od
}

inline settle_queued()
{
    take_in();
    do
    :: n_queued > 0 -> queue?x; n_queued--; settled++
    :: else -> x = 0; break
    od
}

inline acquire() { atomic { !lock -> lock = true } }

/* wi_pool_advance_locked() */
inline move_on()
{
    if
#ifdef BUG_DRAIN_GIVES_UP
    :: draining && !closing && serving + expected == 0 -> closing = true; settle_queued()
#endif
    :: draining && !closing && n_queued == 0 && running == 0 -> closing = true
    :: else
    fi;
    if
#ifdef BUG_OVER_BEFORE_COMER
    :: closing && serving == 0 -> over = true
#else
    :: closing && serving + expected == 0 -> over = true
#endif
    :: else
    fi
}

/* wi_pool_need_locked() and the unlock, and what is done after it: w is woken, or a
 * thread is made; refused, it settles what is queued, where nobody else is. */
inline decide_and_unlock(w)
{
    w = NONE; more = false;
    must_lock = must_lock_now;
    atomic {
        if
        :: must_lock_now ->
            if
            :: n_queued == 0 -> take_in()
            :: else
            fi;
            if
            :: n_queued > 0 && idle != NONE ->
                w = idle; idle = NONE; searching = true; woken[w] = true; must_lock = false
            :: n_queued > 0 && idle == NONE && nobody_comes && room && may_try && !closing ->
                more = true; expected++; refused_lately = false;
                assert(present + expected <= 1)
            :: else
            fi
        :: else
        fi;
        lock = false
    }
    if
    :: atomic { w != NONE -> assert(!token[w]); token[w] = true; w = NONE }
    :: else
    fi;
    if
    :: more ->
        if
        :: atomic { assert(threads < THREADS); run worker(threads); threads++ }
        :: atomic { refusals > 0 && !lock -> /* not_started() */
                refusals--; expected--; refused_lately = true;
#ifndef BUG_REFUSED_KEEPS
                if
                :: present + expected == 0 -> settle_queued()
                :: else
                fi;
#endif
                move_on()
            }
        fi;
        more = false
    :: else
    fi
}

active [2] proctype submitter()
{
    byte t = _pid, w, x;
    bool more;
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
            :: else
            fi
#endif
            goto next
        fi;
locked: acquire();
        atomic {
            if
            :: draining || closing -> turned_away++
            :: else -> take_in(); queue!t; n_queued++
            fi
        }
        decide_and_unlock(w);
next:   t = t + 2
    :: else -> break
    od
}

#ifdef PAUSE
active proctype pauser()
{
    byte w, x;
    bool more;
    acquire();
    if
    :: draining || closing -> lock = false; goto done
    :: else -> paused = true
    fi;
    decide_and_unlock(w);
    acquire();
    if
    :: draining || closing -> lock = false; goto done
    :: else -> paused = false
    fi;
#ifdef BUG_RESUME_HIRES_NOT
    lock = false;
#else
    decide_and_unlock(w);
#endif
done:
    skip
}
#endif

#ifdef DRAIN
active proctype closer()
{
    byte w, x;
    bool more;
    acquire();
    atomic {
        draining = true; paused = false;
        take_in(); shut = true; /* the same exchange */
        if
        :: idle != NONE -> token[idle] = true; idle = NONE
        :: else
        fi;
        move_on()
    }
#ifdef BUG_DRAIN_HIRES_NOT
    lock = false;
#else
    decide_and_unlock(w);
#endif
#ifdef CLOSE
    atomic {
        !lock -> closing = true; settle_queued();
        if
        :: idle != NONE -> token[idle] = true; idle = NONE
        :: else
        fi;
        move_on()
    }
#endif
    over;
    assert(serving + expected == 0 && n_queued == 0)
}
#endif

proctype worker(byte me)
{
    byte t, w, x;
    bool more;
    atomic { !lock -> expected--; serving++ } /* wi_pool_entered_locked() */
look:
    acquire();
look_on: /* next_relocks() */
    atomic {
        move_on();
        if
        :: n_queued == 0 -> take_in()
        :: else
        fi;
        if
        :: closing -> leaving++; goto leave
        :: !closing && !paused && n_queued > 0 -> queue?t; n_queued--; running++; goto take
        :: else
        fi
    }
    /* wi_pool_sleep_relocks() */
    atomic { idle = me; must_lock = must_lock_now }
    atomic {
        if
        :: must_lock && n_in > 0 -> idle = NONE; goto look_on
        :: else
        fi
    }
    lock = false;
end_park:
    if
    :: atomic { token[me] && !lock -> token[me] = false; lock = true;
            if
            :: woken[me] -> woken[me] = false; searching = false
            :: else
            fi;
            goto look_on
        }
    :: skip; /* its timeout passes: timed_out_relocks() */
        acquire();
        if
        :: atomic { idle == me -> idle = NONE; leaving++; goto leave }
        :: else -> lock = false; goto token_due
        fi
    fi;
token_due:
    atomic { token[me] && !lock -> token[me] = false; lock = true;
        if
        :: woken[me] -> woken[me] = false; searching = false
        :: else
        fi;
        goto look_on
    }
take:
    decide_and_unlock(w);
    atomic { ran[t]++; started++ }
    atomic { !lock -> running--; move_on(); lock = true }
    decide_and_unlock(w);
    goto look;
leave: /* weir_worker_next() decides under this hold, retire() under the next */
    decide_and_unlock(w);
    all_over; /* its at_exit takes its time */
    atomic { !lock -> lock = true; serving--; leaving--; move_on() }
    decide_and_unlock(w)
}

init {
    timeout;
    assert(all_over && n_in == 0 && n_queued == 0 && running == 0 && !lock);
#ifndef CLOSE
    assert(REFUSALS > 0 || settled == 0);
#endif
    assert(leaving == 0 && expected == 0 && idle == NONE && serving == 0 && !searching);
    byte i;
    for (i : 0 .. N - 1) { assert(ran[i] <= 1) }
    for (i : 0 .. THREADS - 1) { assert(!token[i] && !woken[i]) }
}

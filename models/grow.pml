/* SPDX-License-Identifier: ISC
 *
 * grow.pml: a pool grows while tasks find no idle thread, retires the idle ones it has too
 * many, and is resized meanwhile (csrc/pool/owed.c, resize.c, staff.c). A step is one hold
 * of the pool's lock; making a thread is a step of its own, and may be refused.
 */
//! ok    grows             -DMIN=1 -DMAX=3 -DN=3 -DBLOCK=2
//! ok    refused           -DMIN=1 -DMAX=2 -DN=3 -DREFUSALS=2
//! ok    grown-by-resize   -DMIN=1 -DMAX=1 -DN=2 -DBLOCK=1 -DMIN_2=1 -DMAX_2=2
//! ok    more-by-resize    -DMIN=1 -DMAX=2 -DN=2 -DMIN_2=2 -DMAX_2=2 -DMIN_3=3 -DMAX_3=3
//! ok    fewer-by-resize   -DMIN=2 -DMAX=2 -DN=2 -DBLOCK=1 -DMIN_2=1 -DMAX_2=2
//! ok    to-and-fro        -DMIN=2 -DMAX=2 -DN=2 -DMIN_2=1 -DMAX_2=1 -DMIN_3=2 -DMAX_3=2
//! found submit-grows-not  -DMIN=1 -DMAX=2 -DN=2 -DBLOCK=1 -DBUG_SUBMIT_GROWS_NOT : assertion violated
//! found growth-stops      -DMIN=1 -DMAX=3 -DN=3 -DBLOCK=2 -DBUG_GROWTH_STOPS : assertion violated
//! found grows-past-max    -DMIN=1 -DMAX=2 -DN=3 -DBUG_EXPECTED_FORGOTTEN : assertion violated
//! found refused-expected  -DMIN=1 -DMAX=2 -DN=3 -DREFUSALS=1 -DBUG_REFUSED_EXPECTED : assertion violated
//! found retires-below-min -DMIN=2 -DMAX=3 -DN=3 -DBLOCK=1 -DBUG_EVERYBODY_TIMED -DBUG_RETIRES_BLINDLY : assertion violated
//! found vain-timeout      -DMIN=1 -DMAX=2 -DN=2 -DBLOCK=1 -DBUG_EVERYBODY_TIMED : assertion violated
//! found timed-for-ever    -DMIN=1 -DMAX=2 -DN=3 -DBLOCK=1 -DBUG_TIMED_FOR_EVER : assertion violated
//! found too-many-sleep-on -DMIN=2 -DMAX=2 -DN=2 -DMIN_2=1 -DMAX_2=1 -DBUG_IDLE_SLEEP_ON : assertion violated
//! found comers-forgotten  -DMIN=1 -DMAX=1 -DN=1 -DMIN_2=2 -DMAX_2=2 -DMIN_3=2 -DMAX_3=2 -DBUG_COMERS_FORGOTTEN : assertion violated
//! found resize-grows-not  -DMIN=1 -DMAX=1 -DN=2 -DBLOCK=1 -DMIN_2=1 -DMAX_2=2 -DBUG_RESIZE_GROWS_NOT : assertion violated

#ifndef BLOCK
#define BLOCK 0 /* tasks below this number wait until every task has started */
#endif
#ifndef REFUSALS
#define REFUSALS 0 /* threads that the system may refuse */
#endif
#define THREADS 7 /* ever, at most */
#define NONE 255

/* Guarded by the pool's lock. */
byte min = MIN, max = MAX;
chan queue = [N] of { byte };
byte n_queued = 0;
byte idle[THREADS], n_idle = 0;
bool searching, woken[THREADS], timed[THREADS];
byte serving = 0, leaving = 0, expected = MIN, n_timed = 0;
bool refused; /* lately: growing may be tried again, or not yet */

byte threads = 0, refusals = REFUSALS;
bool token[THREADS];
byte ran[N], started = 0;

#define present (serving - leaving)
#define extra   (present > min -> present - min : 0)
#ifdef BUG_EXPECTED_FORGOTTEN
#define nobody_comes true
#else
#define nobody_comes (expected == 0)
#endif

/* Of the idle only as many have a timeout as are too many. */
#define sound (n_timed <= extra)

inline put(t) { queue!t; n_queued++ }
inline get(t) { queue?t; n_queued-- }

inline not_idle(w)
{
    n_idle--;
#ifndef BUG_TIMED_FOR_EVER
    n_timed = n_timed - timed[w];
#endif
    timed[w] = false
}

inline pop_idle(w)
{
    w = idle[n_idle - 1];
    not_idle(w);
    idle[n_idle] = 0
}

/* wi_pool_need_locked(); w: who is to be woken, more: a thread to be made */
inline decide(w, more)
{
    w = NONE; more = 0;
    if
    :: !searching && n_queued > 0 && n_idle > 0 ->
        pop_idle(w); searching = true; woken[w] = true
    :: !searching && n_queued > 0 && n_idle == 0 && nobody_comes && present < max ->
        if
        :: more = 1; expected++; refused = false; assert(present + expected <= max)
        :: refused
        fi
    :: else
    fi
}

inline spawn()
{
    if
    :: atomic { run worker(threads); assert(threads + 1 < THREADS); threads++ }
    :: atomic { refusals > 0 ->
            refusals--; refused = true;
#ifndef BUG_REFUSED_EXPECTED
            expected--
#endif
        }
    fi
}

inline act(w, more)
{
    if
    :: atomic { w != NONE -> assert(!token[w]); token[w] = true; w = NONE }
    :: else
    fi;
    do
    :: more > 0 -> spawn(); more--
    :: else -> break
    od
}

active proctype producer()
{
    byte t = 0, w = NONE, more = 0;
    do
    :: t < N ->
        atomic {
            put(t);
#ifdef BUG_SUBMIT_GROWS_NOT
            if
            :: n_idle > 0 -> decide(w, more)
            :: else
            fi;
#else
            decide(w, more);
#endif
            assert(sound)
        }
        act(w, more);
        t++
    :: else -> break
    od
}

/* set_bounds_locked() */
inline resize(least, most)
{
    atomic {
        min = least; max = most; refused = false;
#ifndef BUG_IDLE_SLEEP_ON
        do
        :: n_idle > 0 -> pop_idle(w); assert(!token[w]); token[w] = true
        :: else -> break
        od;
#endif
        w = NONE;
#ifdef BUG_COMERS_FORGOTTEN
        more = (present < min -> min - present : 0);
#else
        more = (present + expected < min -> min - present - expected : 0);
#endif
        expected = expected + more;
        if
#ifndef BUG_RESIZE_GROWS_NOT
        :: more == 0 -> decide(w, more)
#endif
        :: else
        fi;
        assert(sound && (more == 0 || present + expected <= max))
    }
    act(w, more)
}

#ifdef MIN_2
active proctype resizer()
{
    byte w = NONE, more = 0;
    resize(MIN_2, MAX_2);
#ifdef MIN_3
    resize(MIN_3, MAX_3)
#endif
}
#endif

inline clear_searcher()
{
    if
    :: woken[me] -> woken[me] = false; searching = false
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
    :: found -> not_idle(me); idle[n_idle] = 0
    :: else
    fi;
    at = 0
}

proctype worker(byte me)
{
    byte t, other = NONE, more = 0, at = 0;
    bool found, mine;
    atomic { expected--; serving++ } /* wi_pool_entered_locked() */
look:
    atomic {
        if
        :: present > max -> leaving++; goto leave
        :: else
        fi;
look_on:
        if
        :: n_queued > 0 ->
            get(t);
#ifdef BUG_GROWTH_STOPS
            if
            :: n_idle > 0 -> decide(other, more)
            :: else
            fi;
#else
            decide(other, more);
#endif
            assert(sound);
            goto take
        :: else
        fi;
#ifdef BUG_EVERYBODY_TIMED
        mine = true;
#else
        mine = (n_timed < extra);
#endif
        timed[me] = mine; n_timed = n_timed + mine;
        idle[n_idle] = me; n_idle++
    }
end_park:
    if
    :: atomic { token[me] -> token[me] = false; clear_searcher(); goto look }
    :: atomic { mine -> mine = false } /* its timeout passes */
        atomic { /* timed_out_relocks() */
            leave_idle(found);
            if
#ifdef BUG_RETIRES_BLINDLY
            :: found -> leaving++; goto leave
#else
            :: found && extra > 0 -> leaving++; goto leave
            :: found && extra == 0 -> assert(false) /* woken in vain */
#endif
            :: !found
            fi
        }
        atomic { token[me] -> token[me] = false; clear_searcher(); goto look }
    fi;
take:
    act(other, more);
    atomic { ran[t]++; started++ }
    if
    :: t < BLOCK -> started == N
    :: else
    fi;
    atomic { /* settle_ours() */
        if
        :: present > max -> leaving++; goto leave
        :: else -> goto look_on
        fi
    }
leave: /* weir_worker_next() decides under this hold, leave_locked() under the next */
    atomic { decide(other, more) }
    act(other, more);
    atomic {
        serving--; leaving--;
        decide(other, more)
    }
    act(other, more)
}

init {
    byte i;
    atomic {
        for (i : 1 .. MIN) { run worker(threads); threads++ }
    }
    timeout;
    assert(started == N && n_queued == 0 && expected == 0);
    for (i : 0 .. N - 1) { assert(ran[i] == 1) }
    assert(serving == min || (REFUSALS > 0 && serving > 0));
    assert(leaving == 0 && n_idle == serving && n_timed == 0 && !searching);
    for (i : 0 .. THREADS - 1) { assert(!token[i] && !woken[i]) }
}

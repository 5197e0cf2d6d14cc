/* SPDX-License-Identifier: ISC
 *
 * spare.pml: workers that wait for a task of their own pool, the spares that come for
 * them, and the wait that would last for ever (csrc/pool/life.c, staff.c, wait.c,
 * worker.c). A step is one hold of the pool's lock. Task i runs task i + 1 and waits for
 * it, but for the last one of its chain. Of a ladder's chains each first task runs the
 * next first task, too. A thread that leaves may run one more and wait for it (EXIT_WAITS).
 */
//! ok    spares-enough     -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DNO_DEADLOCK
//! ok    two-chains        -DMAX=1 -DSPARES=2 -DCHAINS=2 -DDEPTH=2 -DNO_DEADLOCK
//! ok    threads-enough    -DMAX=3 -DSPARES=0 -DCHAINS=1 -DDEPTH=3 -DNO_DEADLOCK
//! ok    too-few           -DMAX=1 -DSPARES=1 -DCHAINS=1 -DDEPTH=3
//! ok    two-too-many      -DMAX=2 -DSPARES=0 -DCHAINS=2 -DDEPTH=2
//! ok    refused           -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DREFUSALS=1
//! ok    resized           -DMAX=2 -DSPARES=0 -DCHAINS=1 -DDEPTH=2 -DRESIZE
//! ok    resized-spares    -DMAX=2 -DSPARES=1 -DCHAINS=1 -DDEPTH=3 -DRESIZE
//! ok    resize-refused    -DMAX=1 -DSPARES=1 -DCHAINS=1 -DDEPTH=2 -DNO_DEADLOCK -DRESIZE_REFUSED
//! ok    elastic           -DMIN=1 -DMAX=2 -DSPARES=0 -DCHAINS=2 -DDEPTH=2 -DREFUSALS=1
//! ok    ladder            -DMAX=2 -DSPARES=0 -DCHAINS=3 -DDEPTH=2 -DLADDER -DNO_DEADLOCK
//! ok    leaver-waits      -DMAX=2 -DSPARES=0 -DCHAINS=1 -DDEPTH=1 -DRESIZE -DEXIT_WAITS -DNO_DEADLOCK
//! ok    leaver-beside     -DMAX=3 -DSPARES=0 -DCHAINS=1 -DDEPTH=2 -DRESIZE -DEXIT_WAITS
//! found leaver-counts     -DMAX=2 -DSPARES=0 -DCHAINS=1 -DDEPTH=1 -DRESIZE -DEXIT_WAITS -DNO_DEADLOCK -DBUG_LEAVER_COUNTS : assertion violated
//! found settled-counts    -DMAX=2 -DSPARES=0 -DCHAINS=3 -DDEPTH=2 -DLADDER -DNO_DEADLOCK -DBUG_SETTLED_COUNTS : assertion violated
//! found waits-unblocked   -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DNO_DEADLOCK -DBUG_UNBLOCKED : assertion violated
//! found asks-for-no-spare -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DBUG_ASKS_NOT : assertion violated
//! found comers-forgotten  -DMAX=1 -DSPARES=1 -DCHAINS=1 -DDEPTH=2 -DNO_DEADLOCK -DRESIZE_REFUSED -DBUG_COMERS_FORGOTTEN : assertion violated
//! found stuck-unseen      -DMAX=1 -DSPARES=1 -DCHAINS=1 -DDEPTH=3 -DBUG_STUCK_UNSEEN : assertion violated
//! found refusal-untold    -DMIN=1 -DMAX=2 -DSPARES=0 -DCHAINS=2 -DDEPTH=2 -DREFUSALS=1 -DBUG_REFUSAL_UNTOLD : assertion violated
//! found refusal-kept      -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DREFUSALS=1 -DBUG_REFUSAL_KEPT : assertion violated
//! found leaver-untold     -DMAX=2 -DSPARES=0 -DCHAINS=1 -DDEPTH=2 -DRESIZE -DBUG_LEAVER_UNTOLD : assertion violated
//! found blocked-for-ever -DMAX=1 -DSPARES=2 -DCHAINS=1 -DDEPTH=3 -DBUG_BLOCKED_FOR_EVER : assertion violated
//! found told-stays-stuck  -DMAX=2 -DSPARES=0 -DCHAINS=2 -DDEPTH=2 -DBUG_TOLD_STAYS : assertion violated
//! found spares-unlimited  -DMAX=1 -DSPARES=1 -DCHAINS=1 -DDEPTH=3 -DBUG_UNLIMITED : assertion violated

#ifndef REFUSALS
#define REFUSALS 0 /* threads that the system refuses, if it likes */
#endif
#ifndef MIN
#define MIN MAX
#endif
#define N (CHAINS * DEPTH)
#define THREADS 7 /* ever, at most */
#define NONE 255
#define is_last(t) ((t) == N || (t) % DEPTH == DEPTH - 1)

/* Guarded by the pool's lock. */
chan queue = [N + 1] of { byte };
byte n_queued = 0, max = MAX;
byte idle[THREADS], n_idle = 0;
bool searching, woken[THREADS];
byte serving = 0, leaving = 0, expected = MIN, blocked = 0, in_wait = 0;
bool refused;
byte wants[THREADS]; /* the task that a worker waits for, or NONE */
byte awaited[THREADS]; /* the same, while the wait counts in in_wait */
bool settled[N + 1]; /* the last one is a leaver's */

byte threads = 0, refusals = REFUSALS;
bool token[THREADS], w_token[THREADS];
byte ran[N + 1], deadlocks = 0;

#define present (serving - leaving)
#ifdef BUG_UNLIMITED
#define spares blocked
#else
#define spares (blocked < SPARES -> blocked : SPARES)
#endif
#define limit (max + spares)

/* is_stuck_locked() */
#ifdef BUG_COMERS_FORGOTTEN
#define there present
#else
#define there (present + expected)
#endif
#ifdef BUG_STUCK_UNSEEN
#define is_stuck false
#else
#define is_stuck (in_wait >= there && (there >= limit || refused))
#endif

inline put(t) { queue!t; n_queued++ }
inline get(t) { queue?t; n_queued-- }
inline pop_idle(w) { n_idle--; w = idle[n_idle]; idle[n_idle] = 0 }

/* wi_pool_need_locked() */
inline decide(w, grow)
{
    w = NONE; grow = false;
    if
    :: !searching && n_queued > 0 && n_idle > 0 ->
        pop_idle(w); searching = true; woken[w] = true
    :: !searching && n_queued > 0 && n_idle == 0 && expected == 0 && present < limit && !refused ->
        grow = true; expected++;
        assert(present + expected <= max + SPARES)
    :: else
    fi
}

/* wi_wake_waiters_locked(); what: NONE for everybody */
inline wake_waiters(what)
{
    for (x : 0 .. THREADS - 1) {
        if
        :: wants[x] != NONE && (what == NONE || wants[x] == what) -> w_token[x] = true
        :: else
        fi
    }
    x = 0
}

/* end_waits_locked() */
inline end_waits(what)
{
#ifndef BUG_SETTLED_COUNTS
    for (x : 0 .. THREADS - 1) {
        if
        :: awaited[x] == what -> awaited[x] = NONE; in_wait--
        :: else
        fi
    }
    x = 0
#else
    skip
#endif
}

inline act(w, grow)
{
    if
    :: atomic { w != NONE -> assert(!token[w]); token[w] = true; w = NONE }
    :: else
    fi;
    if
    :: atomic { grow -> grow = false; assert(threads < THREADS); run worker(threads); threads++ }
    :: atomic { grow && refusals > 0 -> /* wi_pool_refused_locked() */
            grow = false; refusals--; expected--; refused = true;
#ifndef BUG_REFUSAL_UNTOLD
            wake_waiters(NONE)
#endif
        }
    :: !grow
    fi
}

proctype producer(byte t)
{
    byte w = NONE, x;
    bool grow;
    atomic { put(t); decide(w, grow) }
    act(w, grow)
}

#ifdef RESIZE
active proctype resizer()
{
    atomic {
        expected == 0 -> max = 1;
        do
        :: n_idle > 0 -> n_idle--; token[idle[n_idle]] = true; idle[n_idle] = 0
        :: else -> break
        od
    }
}
#endif

#ifdef RESIZE_REFUSED
/* One more that the system refuses, while a spare is on its way. */
active proctype resizer()
{
    byte x;
end_too_late:
    atomic { serving > 0 && expected > 0 -> max++; expected++ }
    atomic { expected--; refused = true; wake_waiters(NONE) }
}
#endif

/* wait_as_worker_relocks() */
inline wait_for(t)
{
    atomic {
        if
        :: settled[t] -> goto waited
        :: else
        fi;
        in_wait++; awaited[me] = t;
#ifndef BUG_REFUSAL_KEPT
        refused = false;
#endif
#ifndef BUG_UNBLOCKED
        blocked++;
#endif
#ifndef BUG_ASKS_NOT
        decide(other, grow)
#endif
    }
    act(other, grow);
    do
    :: atomic { settled[t] || is_stuck ->
            wants[me] = NONE; w_token[me] = false;
            deadlocks = deadlocks + (settled[t] -> 0 : 1);
#ifndef BUG_TOLD_STAYS
            in_wait = in_wait - (awaited[me] != NONE -> 1 : 0);
#endif
            awaited[me] = NONE;
#if !defined(BUG_UNBLOCKED) && !defined(BUG_BLOCKED_FOR_EVER)
            blocked--; /* wi_pool_unblock_locked() */
#endif
            if
            :: present > limit && n_idle > 0 ->
                pop_idle(other); assert(!token[other]); token[other] = true; other = NONE
            :: else
            fi;
            break
        }
    :: atomic { !settled[t] && !(is_stuck) -> wants[me] = t }
        atomic { w_token[me] -> w_token[me] = false }
    od;
waited:
    skip
}

#ifdef EXIT_WAITS
bool exit_waits = true;

/* at_exit of the first thread that leaves runs a task and waits for it. */
inline wait_leaving()
{
    atomic {
        if
        :: exit_waits -> exit_waits = false; put(N)
        :: else -> goto gone
        fi;
#ifdef BUG_LEAVER_COUNTS
        in_wait++; awaited[me] = N;
#endif
        refused = false; blocked++;
        decide(other, grow)
    }
    act(other, grow);
    do
#ifdef BUG_LEAVER_COUNTS
    :: atomic { settled[N] || is_stuck ->
            in_wait = in_wait - (awaited[me] != NONE -> 1 : 0);
            awaited[me] = NONE;
#else
    :: atomic { settled[N] || (is_stuck && there == 0) ->
#endif
            wants[me] = NONE; w_token[me] = false;
            deadlocks = deadlocks + (settled[N] -> 0 : 1);
            blocked--;
            break
        }
    :: atomic { !settled[N] -> wants[me] = N }
        atomic { w_token[me] -> w_token[me] = false }
    od;
gone:
    skip
}
#endif

proctype worker(byte me)
{
    byte t, x, other = NONE;
    bool grow;
    atomic { expected--; serving++ }
look:
    atomic {
        if
        :: present > limit -> leaving++; goto leave
        :: else
        fi;
        if
        :: n_queued > 0 -> get(t); decide(other, grow); goto take
        :: else -> idle[n_idle] = me; n_idle++
        fi
    }
end_park:
    atomic {
        token[me] -> token[me] = false;
        if
        :: woken[me] -> woken[me] = false; searching = false
        :: else
        fi;
        goto look
    }
take:
    act(other, grow);
    ran[t]++;
    if
    :: !is_last(t) ->
        atomic {
            put(t + 1);
#ifdef LADDER
            if
            :: t + 2 < N -> put(t + 2)
            :: else
            fi;
#endif
            decide(other, grow)
        }
        act(other, grow);
        wait_for(t + 1)
    :: else
    fi;
    atomic { settled[t] = true; end_waits(t); wake_waiters(t); goto look }
leave:
#ifdef EXIT_WAITS
    wait_leaving();
#endif
    atomic {
        serving--; leaving--;
#ifndef BUG_LEAVER_UNTOLD
        wake_waiters(NONE);
#endif
        decide(other, grow)
    }
    act(other, grow)
}

init {
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) { wants[i] = NONE; awaited[i] = NONE }
        for (i : 1 .. MIN) { run worker(threads); threads++ }
#ifdef LADDER
        run producer(0)
#else
        for (i : 0 .. CHAINS - 1) { run producer(i * DEPTH) }
#endif
    }
    timeout;
    /* who was told of the deadlock has let the others go on */
    for (i : 0 .. N - 1) { assert(settled[i] && ran[i] == 1) }
    assert(n_queued == 0 && expected == 0 && blocked == 0 && in_wait == 0);
    assert(serving > 0 && serving <= max && n_idle == serving && !searching);
#ifdef NO_DEADLOCK
    assert(deadlocks == 0)
#elif !defined(RESIZE)
    assert(deadlocks <= 1 + REFUSALS - (REFUSALS > 0 -> 1 : 0))
#endif
}

/* SPDX-License-Identifier: ISC
 *
 * rim.pml: run_in_main by a worker and by a thread of no pool, against a main that
 * turns its loop, sleeps in weir_main_wait_next, waits in weir_close for the worker's
 * pool, and closes (csrc/mailbox/waiter.c, call.c, main.c).
 */
//! ok    blocking-close    -DBLOCKING
//! ok    main-close
//! ok    main-wait         -DWAITS
//! ok    wait-then-poll    -DPOLLS
//! found wait-ends-late    -DPOLLS -DBUG_WAIT_ENDS_LATE : assertion violated (((returned
//! found wait-serves-own   -DWAITS -DBUG_WAIT_SERVES : assertion violated ((delivered
//! found close-serves-not  -DBLOCKING -DBUG_NO_SERVE : assertion violated (((returned
//! found look-then-wait    -DBLOCKING -DBUG_LOOK_FIRST : assertion violated (((returned
//! found first-call-tells  -DBLOCKING -DBUG_FIRST_ONLY : assertion violated (((returned
//! found poster-looks-early -DBLOCKING -DBUG_POSTER_EARLY : assertion violated (((returned
//! found no-rearm          -DBLOCKING -DBUG_NO_REARM : assertion violated ((delivered
//! found no-deadlk         -DBLOCKING -DBUG_NO_EDEADLK : assertion violated (((returned
//! found begun-forgotten   -DBUG_BEGUN_FORGOTTEN : assertion violated (((returned
//! found late-call-forgotten -DBUG_LATE_CALL_FORGOTTEN : assertion violated (((returned
//! found posted-after-shut -DBUG_POST_UNCHECKED : assertion violated (((returned
//! found finish-unchecked  -DBLOCKING -DBUG_FINISH_UNCHECKED : assertion violated

#define CALLERS 2
#define ITEMS   4 /* calls are 0 and 1, the completions of their tasks 2 and 3 */
#define NONE    255

mtype = { IDLE, POSTED, BEGUN, ENDED };
mtype = { OPEN, OK, ECLOSED, EDEADLK };

chan box = [ITEMS] of { byte }; /* the arrivals */
byte n_box = 0;
bool closed; /* they are shut */

/* Guarded by the main's lock. */
bool signalled, waited;
mtype state[CALLERS] = IDLE, code[CALLERS] = OPEN;

bool fd;         /* readable */
byte waiting = 0;
bool main_token, token[CALLERS];
bool left_over[CALLERS]; /* fn returned and has left the finish to another thread */
bool by_blocking[CALLERS];
byte returned[CALLERS], delivered = 0, elsewhere = 0, late = 0;

/* Guarded by the pool's lock. */
bool pool_closed, close_waits;

/* The owner's alone. */
chan batch = [ITEMS] of { byte };
byte n_batch = 0;

inline end_call(c, how)
{
    assert(state[c] != ENDED);
    state[c] = ENDED; code[c] = how; token[c] = true
}

/* ---- the callers: each calls, then posts a completion; the first is a worker */

inline post(item, is_call)
{
#ifdef BUG_POSTER_EARLY
    unpark = is_call && waiting > 0;
#endif
    atomic { /* the push */
        open = !closed;
#ifdef BUG_POST_UNCHECKED
        open = true;
#endif
#ifdef BUG_FIRST_ONLY
        tells = open && n_box == 0;
#else
        tells = open && (n_box == 0 || is_call);
#endif
        if
        :: open -> box!item; n_box++
        :: else
        fi;
        if
        :: open && is_call -> state[item] = POSTED
        :: else
        fi
    }
    raise = false;
    if
    :: tells -> /* tell_owner() */
        atomic {
            there = (n_box > 0);
#ifndef BUG_POSTER_EARLY
            unpark = there && (waited || (is_call && waiting > 0));
#endif
            raise = there && !unpark && !signalled;
            signalled = signalled || raise
        }
    :: else
    fi;
    if
    :: atomic { raise -> fd = true; raise = false }
    :: atomic { unpark -> main_token = true; unpark = false }
    :: else
    fi
}

active [CALLERS] proctype caller()
{
    bool open, tells, there, raise, unpark;

    post(_pid, true);
    if
    :: atomic { !open -> code[_pid] = ECLOSED }
    :: else ->
        do
        :: atomic { state[_pid] == ENDED -> break }
        :: else -> atomic { token[_pid] -> token[_pid] = false }
        od
    fi;
    atomic {
        returned[_pid]++;
        assert(code[_pid] == OK || code[_pid] == ECLOSED || (code[_pid] == EDEADLK && by_blocking[_pid]));
#if defined(WAITS) || defined(POLLS)
        assert(code[_pid] != EDEADLK) /* for that is a loop that turns */
#endif
    }

    post(CALLERS + _pid, false);
    if
    :: atomic { !open -> elsewhere++ } /* orphaned: done runs here */
    :: else
    fi;
    if
    :: atomic { _pid == 0 -> /* leaves its pool, the last to do so */
            pool_closed = true;
            if
            :: close_waits -> main_token = true
            :: else
            fi
        }
    :: else
    fi
}

/* Finishes what fn has left to it, or never comes to it. */
active proctype finisher()
{
    byte c = 0;
    do
    :: c < CALLERS ->
        if
        :: atomic { left_over[c] -> left_over[c] = false }
            atomic {
                if
#ifdef BUG_FINISH_UNCHECKED
                :: true -> end_call(c, OK)
#else
                :: state[c] == BEGUN -> end_call(c, OK)
                :: else -> late++
#endif
                fi
            }
        :: atomic { code[c] != OPEN && !left_over[c] }
        fi;
        c++
    :: else -> break
    od
}

/* ---- the owner */

inline splice()
{
    do
    :: n_box > 0 -> box?item; batch!item; n_box--; n_batch++
    :: else -> break
    od
}

/* fn ends the call, or leaves that to another thread, or (where the main's close
 * will end it) to nobody. */
inline begin(c, blocking)
{
    atomic { assert(state[c] == POSTED); state[c] = BEGUN; by_blocking[c] = blocking }
    if
    :: atomic { end_call(c, OK) }
    :: left_over[c] = true
#if !defined(BLOCKING) && !defined(WAITS) && !defined(POLLS)
    :: skip
#endif
    fi;
#ifndef BUG_NO_EDEADLK
    atomic {
        if
        :: blocking && state[c] == BEGUN -> end_call(c, EDEADLK)
        :: else
        fi
    }
#else
    left_over[c] = false /* it was for the loop to finish */
#endif
}

inline take()
{
    was = false;
    if
    :: signalled -> atomic { was = fd; fd = false }
    :: !signalled
    fi;
    if
    :: was -> signalled = false
    :: else
    fi;
    atomic { splice(); item = NONE }
}

inline dispatch()
{
    take();
    do
    :: n_batch > 0 ->
        atomic { batch?item; n_batch-- }
        if
        :: item < CALLERS -> begin(item, false)
        :: else -> delivered++
        fi;
        item = NONE
    :: else -> break
    od
}

/* The first call of the batch, completions stay where they are. */
inline first_call()
{
    splice();
    item = NONE; n = n_batch;
    do
    :: n > 0 ->
        n--; batch?other;
        if
        :: other < CALLERS && item == NONE -> item = other; n_batch--
        :: else -> batch!other
        fi
    :: else -> break
    od;
    other = 0
}

/* weir_close of the pool, on the main's thread */
inline close_pool()
{
#ifndef BUG_LOOK_FIRST
    waiting++;
#endif
    do
    :: atomic { pool_closed -> close_waits = false; break }
    :: atomic { !pool_closed -> close_waits = true }
#ifndef BUG_NO_SERVE
        atomic { first_call() }
#endif
        if
        :: item != NONE -> begin(item, true); item = NONE
        :: else ->
#ifdef BUG_LOOK_FIRST
            waiting++;
#endif
            atomic { main_token -> main_token = false }
#ifdef BUG_LOOK_FIRST
            waiting--
#endif
        fi
    od;
#ifndef BUG_LOOK_FIRST
    waiting--;
#endif
#ifndef BUG_NO_REARM
    atomic {
        was = (n_batch > 0 || n_box > 0) && !signalled;
        signalled = signalled || was
    }
    if
    :: was -> fd = true
    :: else
    fi
#endif
}

inline fail_calls()
{
    atomic {
        first_call();
        do
        :: item != NONE -> end_call(item, ECLOSED); first_call()
        :: else -> break
        od;
#ifndef BUG_BEGUN_FORGOTTEN
        for (n : 0 .. CALLERS - 1) {
            if
            :: state[n] == BEGUN -> end_call(n, ECLOSED)
            :: else
            fi
        }
#endif
        n = 0
    }
}

/* weir_main_wait_next: sleeps for everything, and serves no call of its own main. A call
 * that comes before the wait has ended unparks and writes nothing: the take comes after. */
inline main_wait()
{
    waiting++;
    atomic { waited = (n_box == 0); asleep = waited }
#ifdef BUG_WAIT_SERVES
    atomic { first_call() }
    if
    :: item != NONE -> begin(item, true); item = NONE; asleep = false
    :: else
    fi;
#endif
    if
    :: asleep -> atomic { main_token -> main_token = false }
    :: else
    fi;
    waited = false;
#ifdef BUG_WAIT_ENDS_LATE
    dispatch();
    waiting--
#else
    waiting--;
    dispatch()
#endif
}

active proctype owner()
{
    byte item = NONE, other = 0, n = 0;
    bool was, asleep;
#if defined(WAITS)
    do
    :: delivered < CALLERS -> main_wait()
    :: else -> break
    od
#elif defined(POLLS)
    main_wait();
    do
    :: atomic { fd } dispatch()
    :: timeout -> break
    od;
    assert(delivered == CALLERS) /* by a loop that only looks at its descriptor */
#elif defined(BLOCKING)
    do
    :: atomic { fd } dispatch()
    :: break
    od;
    close_pool();
    do
    :: atomic { fd } dispatch()
    :: timeout -> break
    od;
    assert(delivered == CALLERS) /* by a loop that only looks at its descriptor */
#else
    do
    :: atomic { fd } dispatch()
    :: break
    od;
    /* weir_main_close(WEIR_DETACH) */
    dispatch();
    fail_calls();
    dispatch();
    closed = true;
#ifndef BUG_LATE_CALL_FORGOTTEN
    fail_calls();
#endif
    dispatch()
#endif
}

init {
    timeout;
    assert(returned[0] == 1 && returned[1] == 1 && pool_closed);
    assert(delivered + elsewhere == CALLERS)
}

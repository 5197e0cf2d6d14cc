/* SPDX-License-Identifier: ISC
 *
 * close.pml: submitters that block on a full queue, workers, parked tasks, and closes of
 * every kind at once (csrc/pool/close.c, holdings.c, life.c, owed.c, run.c, worker.c). A
 * step is one hold of the pool's lock.
 */
//! ok    discard               -DCLOSE1=CLOSE
//! ok    drain                 -DCLOSE1=DRAIN -DONLY_DRAIN
//! ok    drain-and-discard     -DCLOSE1=DRAIN -DCLOSE2=CLOSE -DW=1
//! ok    async                 -DCLOSE1=DRAIN -DCLOSE2=CLOSE -DASYNC -DW=1
//! ok    worker-lost           -DCLOSE1=DRAIN -DLOST
//! ok    all-workers-lost      -DCLOSE1=CLOSE -DLOST -DW=1 -DS=4 -DLATE_CLOSE
//! ok    slow-tasks            -DCLOSE1=CLOSE -DSLOW -DLATE_CLOSE -DS=4 -DLIMIT=2
//! ok    timer                 -DCLOSE1=DRAIN -DTIMER -DW=1
//! found state-outside-lock    -DCLOSE1=CLOSE -DBUG_STATE_OUTSIDE : assertion violated
//! found submitters-not-woken  -DCLOSE1=CLOSE -DBUG_SPACE_NOT_WOKEN : invalid end state
//! found lost-wakes-too-few    -DCLOSE1=CLOSE -DLOST -DW=1 -DS=4 -DLATE_CLOSE -DBUG_SPACE_NOT_WOKEN : invalid end state
//! found space-freed-silently  -DCLOSE1=CLOSE -DSLOW -DLATE_CLOSE -DS=4 -DLIMIT=2 -DBUG_SPACE_FREED_SILENTLY : invalid end state
//! found drain-forgets-parked  -DCLOSE1=DRAIN -DBUG_PARKED_FORGOTTEN : assertion violated (settled[t]==
//! found parks-after-close     -DCLOSE1=CLOSE -DBUG_PARKS_LATE : assertion violated (settled[t]==
//! found idle-not-woken        -DCLOSE1=DRAIN -DBUG_IDLE_NOT_WOKEN : invalid end state
//! found lost-one-looks-not    -DCLOSE1=DRAIN -DLOST -DBUG_LEAVES_BLINDLY : invalid end state
//! found timer-not-woken       -DCLOSE1=DRAIN -DTIMER -DW=1 -DBUG_TIMER_NOT_WOKEN : invalid end state
//! found over-before-timer     -DCLOSE1=DRAIN -DTIMER -DW=1 -DBUG_OVER_EARLY : assertion violated
//! found notice-too-late       -DCLOSE1=DRAIN -DCLOSE2=CLOSE -DASYNC -DW=1 -DBUG_NOTICE_LATE : invalid end state
//! found decided-first        -DCLOSE1=DRAIN -DBUG_DECIDES_FIRST : invalid end state
//! found over-before-notice    -DCLOSE1=DRAIN -DCLOSE2=CLOSE -DASYNC -DW=1 -DBUG_OVER_UNTOLD : assertion violated

#ifndef S
#define S 3 /* tasks; run of the first returns WEIR_PARK */
#endif
#ifndef LIMIT
#define LIMIT 1 /* tasks that are queued at the start: the queue is full */
#endif
#ifndef W
#define W 2
#endif
#define NONE 255

mtype = { OPEN, DRAINING, CLOSING, CLOSED };
mtype = { CLOSE, DRAIN };
mtype = { NOTHING, DUE, TELLING };

/* Guarded by the pool's lock. */
mtype state = OPEN;
chan queue = [LIMIT] of { byte };
byte n_queued = 0, running = 0, serving = W;
bool parked[S], for_space[S];
byte idle[W], n_idle = 0;
bool searching, woken[W];
byte notices = 0; /* on the pool's list */
mtype due = NOTHING;
byte teller; /* while not NOTHING */
#ifdef TIMER
bool timer = true, timer_token;
#else
#define timer false
#endif
bool closer_waits[2];

bool token[W], s_token[S], c_token[2];
byte settled[S], ran[S], asked = 0, told = 0; /* the last two: notices */
byte n_returned = 0;
bool accepted[S], a_close_returned;

#define all_returned (n_returned == S - LIMIT)
#define is_full (n_queued >= LIMIT)
#define put(t)  queue!t; n_queued++
#define get(t)  queue?t; n_queued--

inline settle(t)
{
    settled[t]++;
    assert(accepted[t] && settled[t] == 1)
}

inline unpark(w)
{
    if
    :: atomic { w != NONE -> assert(!token[w]); token[w] = true; w = NONE }
    :: else
    fi
}

inline wake_one(w)
{
    w = NONE;
    if
    :: !searching && n_idle > 0 && n_queued > 0 ->
        n_idle--; w = idle[n_idle]; idle[n_idle] = 0; searching = true; woken[w] = true
    :: else
    fi
}

/* The first leaves the list with its token. Which one is first does not matter
 * here: whichever. */
inline wake_space_waiter()
{
    if
    :: !is_full && for_space[S - 1] -> for_space[S - 1] = false; s_token[S - 1] = true
    :: !is_full && for_space[S - 2] -> for_space[S - 2] = false; s_token[S - 2] = true
#if S - LIMIT > 2
    :: !is_full && for_space[S - 3] -> for_space[S - 3] = false; s_token[S - 3] = true
#endif
    :: is_full || !(for_space[S - 1] || for_space[S - 2]
#if S - LIMIT > 2
        || for_space[S - 3]
#endif
        )
    fi
}

inline wake_idle()
{
    do
    :: n_idle > 0 -> n_idle--; assert(!token[idle[n_idle]]); token[idle[n_idle]] = true; idle[n_idle] = 0
    :: else -> break
    od
}

inline wake_closers()
{
    for (t : 0 .. 1) {
        if
        :: closer_waits[t] -> c_token[t] = true
        :: else
        fi
    }
    t = 0
}

inline empty_it()
{
    state = CLOSING;
    do
    :: n_queued > 0 -> get(t); settle(t); wake_space_waiter()
    :: else -> break
    od;
    for (t : 0 .. S - 1) {
        if
#ifdef BUG_PARKED_FORGOTTEN
        :: parked[t] && !draining -> parked[t] = false; settle(t)
#else
        :: parked[t] -> parked[t] = false; settle(t)
#endif
        :: else
        fi
    }
    t = 0;
#ifndef BUG_IDLE_NOT_WOKEN
    wake_idle();
#endif
#if defined(TIMER) && !defined(BUG_TIMER_NOT_WOKEN)
    timer_token = true;
#endif
    wake_submitters()
}

inline wake_submitters()
{
#ifndef BUG_SPACE_NOT_WOKEN
    for (t : 0 .. S - 1) {
        if
        :: for_space[t] -> for_space[t] = false; s_token[t] = true
        :: else
        fi
    }
    t = 0
#else
    skip
#endif
}

/* wi_pool_advance_locked() */
inline step()
{
    draining = (state == DRAINING);
    if
    :: state == DRAINING && ((n_queued == 0 && running == 0) || serving == 0) -> empty_it()
    :: state == OPEN && serving == 0 -> empty_it() /* nobody will ever serve it again */
    :: else
    fi;
    if
#ifdef BUG_OVER_EARLY
    :: state == CLOSING && serving == 0 ->
#else
    :: state == CLOSING && serving == 0 && !timer ->
#endif
        state = CLOSED; due = DUE; teller = _pid; wake_closers()
    :: else
    fi;
    draining = false
}

/* wi_pool_unlock(): what is owed is decided in the hold that changed the pool, and paid
 * after it: the notices that are due, one by one */
#define owes (due == DUE && teller == _pid)
inline pay(tells)
{
    if
    :: atomic { tells -> tells = false; assert(owes); due = TELLING }
        do
        :: atomic { notices > 0 -> notices-- } told++
        :: atomic { notices == 0 -> due = NOTHING; wake_closers(); break }
        od
    :: else
    fi
}

#ifdef BUG_OVER_UNTOLD
#define is_over (state == CLOSED)
#else
#define is_over (state == CLOSED && due == NOTHING && notices == 0)
#endif

proctype submitter(byte me)
{
    byte w = NONE;
    bool is_open = true, waits;
again:
#ifdef BUG_STATE_OUTSIDE
    is_open = (state == OPEN);
#endif
    atomic {
#ifndef BUG_STATE_OUTSIDE
        is_open = (state == OPEN);
#endif
        for_space[me] = false; waits = false;
        if
        :: !is_open
        :: is_open && !is_full ->
            assert(state == OPEN && !a_close_returned);
            accepted[me] = true; put(me);
            wake_space_waiter();
            wake_one(w)
        :: is_open && is_full -> for_space[me] = true; waits = true
        fi
    }
    if
    :: atomic { waits && s_token[me] -> s_token[me] = false; goto again }
    :: atomic { !waits }
    fi;
    unpark(w);
    assert(accepted[me] || !is_open);
    n_returned++
}

proctype worker(byte me)
{
    byte t, task, other = NONE;
    bool draining, tells;
look:
    atomic {
        task = NONE;
        step();
        if
        :: state == CLOSING || state == CLOSED -> goto leave
        :: state != CLOSING && state != CLOSED && n_queued > 0 ->
            get(task); running++;
#ifndef BUG_SPACE_FREED_SILENTLY
            wake_space_waiter();
#endif
            wake_one(other)
        :: else -> idle[n_idle] = me; n_idle++
        fi
    }
    if
    :: atomic { task == NONE && token[me] ->
            token[me] = false;
            if
            :: woken[me] -> woken[me] = false; searching = false
            :: else
            fi;
            goto look /* under the same hold */
        }
    :: atomic { task != NONE }
    fi;
    unpark(other);
    ran[task]++;
#ifdef SLOW
    all_returned; /* as slow as can be */
#endif
    atomic { /* weir_worker_settle */
        running--;
        if
#ifndef BUG_PARKS_LATE
        :: task == 0 && state != CLOSING -> parked[0] = true
        :: task != 0 || state == CLOSING -> settle(task)
#else
        :: task == 0 -> parked[0] = true
        :: task != 0 -> settle(task)
#endif
        fi;
#ifdef LOST
        if
        :: me == 0 -> goto leave /* its thread ended in that task, and looks at nothing */
        :: else
        fi;
#endif
        step();
        wake_one(other)
    }
    unpark(other);
    goto look;
leave:
    unpark(other);
    atomic {
        serving--;
#ifdef BUG_DECIDES_FIRST
        tells = owes;
#endif
#ifndef BUG_LEAVES_BLINDLY
        step();
#else
        if
        :: state == CLOSING -> step()
        :: else
        fi;
#endif
#ifndef BUG_DECIDES_FIRST
        tells = owes
#endif
    }
    pay(tells)
}

#ifdef TIMER
proctype deadline_timer()
{
    byte t;
    bool draining, tells;
    do
    :: state == CLOSING || state == CLOSED -> break
    :: else -> atomic { timer_token -> timer_token = false }
    od;
    atomic { timer = false; step(); tells = owes }
    pay(tells)
}
#endif

proctype closer(byte me; mtype mode; bool blocking)
{
    byte t, w = NONE;
    bool draining, tells;
#ifdef LATE_CLOSE
    all_returned;
#endif
    atomic {
        if
        :: state == OPEN || state == DRAINING ->
            if
            :: mode == CLOSE -> empty_it()
            :: mode == DRAIN -> state = DRAINING
            fi;
            wake_submitters();
            step();
            wake_one(w)
        :: else
        fi;
        asked = asked + (blocking -> 0 : 1);
        if
#ifndef BUG_NOTICE_LATE
        :: !blocking && state == CLOSED && due == NOTHING -> notices++; due = DUE; teller = _pid
#endif
        :: else -> notices = notices + (blocking -> 0 : 1)
        fi;
        tells = owes
    }
    unpark(w);
    pay(tells);
    if
    :: blocking ->
        do
        :: atomic { is_over -> closer_waits[me] = false; assert(told == asked && serving == 0 && !timer); break }
        :: atomic { !(is_over) -> closer_waits[me] = true }
            atomic { c_token[me] -> c_token[me] = false }
        od;
        a_close_returned = true
    :: else
    fi
}

init {
    byte t;
    atomic {
        for (t : 0 .. LIMIT - 1) { put(t); accepted[t] = true }
        for (t : LIMIT .. S - 1) { run submitter(t) }
        for (t : 0 .. W - 1) { run worker(t) }
#ifdef TIMER
        run deadline_timer();
#endif
        run closer(0, CLOSE1, true);
#if defined(ASYNC)
        run closer(1, CLOSE2, false)
#elif defined(CLOSE2)
        run closer(1, CLOSE2, true)
#endif
    }
    _nr_pr == 1; /* everybody has come to an end */
    assert(state == CLOSED && n_queued == 0 && running == 0);
    for (t : 0 .. S - 1) {
        assert(settled[t] == (accepted[t] -> 1 : 0));
        assert(ran[t] <= (accepted[t] -> 1 : 0));
#ifdef ONLY_DRAIN
        assert(ran[t] == 1 || !accepted[t])
#endif
    }
#ifdef ASYNC
    assert(told == 1)
#endif
}

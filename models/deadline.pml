/* SPDX-License-Identifier: ISC
 *
 * deadline.pml: start deadlines: a timer that sleeps until the earliest, against submits,
 * a start, a cancel and a close (csrc/pool/holdings.c, life.c, staff.c, timer.c). A step
 * is one hold of the pool's lock. The clock moves on when it likes.
 */
//! ok    stuck-worker        -DSTUCK
//! ok    start-and-cancel    -DCANCEL
//! ok    drain               -DCLOSE=DRAIN -DSTUCK
//! ok    close               -DCLOSE=DISCARD -DCANCEL
//! ok    refused-timer       -DREFUSE -DSTUCK
//! found timer-not-hurried   -DSTUCK -DBUG_NOT_HURRIED : assertion violated
//! found idle-timer-sleeps   -DSTUCK -DBUG_IDLE_SLEEPS : assertion violated
//! found hurried-first       -DSTUCK -DBUG_HURRIED_FIRST : assertion violated
//! found sleeps-unsaid       -DSTUCK -DBUG_SLEEPS_UNSAID : assertion violated
//! found started-and-due     -DBUG_STARTED_AND_DUE : assertion violated
//! found cancelled-and-due   -DSTUCK -DCANCEL -DBUG_CANCELLED_AND_DUE : assertion violated
//! found expires-early       -DBUG_EXPIRES_EARLY : assertion violated
//! found timer-not-woken     -DCLOSE=DISCARD -DBUG_TIMER_NOT_WOKEN : invalid end state
//! found over-before-timer   -DCLOSE=DISCARD -DBUG_OVER_EARLY : assertion violated
//! found second-goes-ahead   -DREFUSE -DSTUCK -DBUG_SECOND_GOES_AHEAD : assertion violated

#define N 2        /* tasks; the first has the later deadline */
#define due(t) (N - (t))
#define LATEST N + 1
#define NEVER 255

mtype = { IDLE, QUEUED, RUNNING, OK, EXPIRED, CANCELLED, CLOSED_, REFUSED };
mtype = { OPEN, DRAINING, CLOSING, CLOSED };
mtype = { DRAIN, DISCARD };

byte now = 0;

/* Guarded by the pool's lock. */
mtype pool = OPEN, task[N] = IDLE;
bool heap[N]; /* queued with a deadline */
bool timer;   /* its thread lives, or is being made */
byte until = NEVER;
byte serving = 1, settled[N], running = 0;

bool timer_lock, timer_token, worker_token;
byte n_submitted = 0;

#define settles(t, how) assert(task[t] == QUEUED || task[t] == RUNNING); task[t] = how; settled[t]++
#define unqueue(t) heap[t] = false
#define queued(t) (task[t] == QUEUED)
#define first_due (heap[1] -> due(1) : (heap[0] -> due(0) : NEVER))
#define all_submitted (n_submitted == N)

inline empty_it()
{
    pool = CLOSING;
    for (x : 0 .. N - 1) {
        if
        :: queued(x) -> unqueue(x); settles(x, CLOSED_)
        :: else
        fi
    }
    x = 0;
#ifndef BUG_TIMER_NOT_WOKEN
    timer_token = true;
#endif
    worker_token = true
}

inline step()
{
    if
    :: pool == DRAINING && !queued(0) && !queued(1) && running == 0 -> empty_it()
    :: else
    fi;
    if
#ifdef BUG_OVER_EARLY
    :: pool == CLOSING && serving == 0 -> pool = CLOSED
#else
    :: pool == CLOSING && serving == 0 && !timer -> pool = CLOSED
#endif
    :: else
    fi
}

/* timer_is_late_locked(): whether the timer is to be unparked */
inline look_at_deadlines(late)
{
#ifdef BUG_NOT_HURRIED
    late = timer && until == NEVER && first_due != NEVER;
#elif defined(BUG_IDLE_SLEEPS)
    late = timer && until != NEVER && first_due < until;
#else
    late = timer && first_due < until;
#endif
    until = (late -> first_due : until)
}

/* Two submitters: each needs the timer, then queues its task. */
proctype submitter(byte t)
{
    bool late, make, refuse;
    byte x;
#ifndef BUG_SECOND_GOES_AHEAD
    atomic { !timer_lock -> timer_lock = true } /* wi_timer_need() */
#endif
    atomic {
        make = (!timer && pool != CLOSING && pool != CLOSED);
        timer = timer || make;
        until = (make -> 0 : until) /* it looks before it first sleeps */
    }
    if
    :: make -> run deadline_timer()
#ifdef REFUSE
    :: make -> atomic { timer = false; refuse = true; step() }
#endif
    :: else
    fi;
    timer_lock = false;
#ifdef BUG_HURRIED_FIRST
    atomic { heap[t] = true; look_at_deadlines(late); heap[t] = false }
    if
    :: late -> timer_token = true; late = false
    :: else
    fi;
#endif
    atomic {
        if
        :: pool == OPEN && !refuse ->
            task[t] = QUEUED; heap[t] = true; worker_token = true;
#ifndef BUG_HURRIED_FIRST
            look_at_deadlines(late)
#endif
        :: else -> task[t] = REFUSED
        fi
    }
    if
    :: late -> timer_token = true
    :: else
    fi;
    n_submitted++
}

proctype deadline_timer()
{
    byte x, mine;
    do
    :: atomic {
            if
            :: pool == CLOSING || pool == CLOSED -> break
            :: else
            fi;
            for (x : 0 .. N - 1) {
                if
#ifdef BUG_EXPIRES_EARLY
                :: heap[x] && (due(x) <= now || until <= now) ->
#else
                :: heap[x] && due(x) <= now ->
#endif
                    assert(queued(x) && due(x) <= now);
                    unqueue(x); settles(x, EXPIRED)
                :: else
                fi
            }
            x = 0;
            step();
            mine = first_due;
#ifndef BUG_SLEEPS_UNSAID
            until = mine
#endif
        }
end_sleep:
        if
        :: atomic { timer_token -> timer_token = false }
        :: now >= mine
        fi
    od;
    atomic { timer = false; step() }
}

/* It takes whichever is there. Stuck: in something else, until the last deadline. */
active proctype worker()
{
    byte t, x;
#ifdef STUCK
    atomic { running++ }
    now == LATEST && all_submitted;
    atomic { running--; step() }
#endif
    do
    :: atomic {
            step();
            if
            :: pool == CLOSING || pool == CLOSED -> break
            :: queued(0) -> t = 0
            :: queued(1) -> t = 1
            :: else -> t = N
            fi;
            if
            :: t < N ->
#ifndef BUG_STARTED_AND_DUE
                unqueue(t);
#endif
                task[t] = RUNNING; running++
            :: else
            fi
        }
        if
        :: t < N -> atomic { running--; settles(t, OK); step() }
        :: else ->
end_park:   atomic { worker_token -> worker_token = false }
        fi
    od;
    atomic { serving--; step() }
}

#ifdef CANCEL
active proctype canceller()
{
    byte x;
    atomic {
        if
        :: queued(1) ->
#ifndef BUG_CANCELLED_AND_DUE
            unqueue(1);
#endif
            settles(1, CANCELLED); step()
        :: else
        fi
    }
}
#endif

#ifdef CLOSE
active proctype closer()
{
    byte x;
    atomic {
        if
        :: CLOSE == DISCARD -> empty_it()
        :: CLOSE == DRAIN -> pool = DRAINING; worker_token = true
        fi;
        step()
    }
    pool == CLOSED;
    assert(!timer && serving == 0)
}
#endif

/* Time stands still until everybody has done what there is to do. */
active proctype clock()
{
    byte x;
    do
    :: now < LATEST ->
        timeout;
        /* what is due has settled, whatever the worker does */
        for (x : 0 .. N - 1) { assert(!queued(x) || due(x) > now) }
        now++
    :: else -> break
    od
}

init {
    byte t;
    atomic {
        for (t : 0 .. N - 1) { run submitter(t) }
    }
    now == LATEST && all_submitted && task[0] != RUNNING && task[1] != RUNNING;
    timeout;
    for (t : 0 .. N - 1) {
        assert(settled[t] == (task[t] == REFUSED -> 0 : 1));
        assert(!heap[t])
    }
}

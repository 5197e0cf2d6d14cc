/* SPDX-License-Identifier: ISC
 *
 * cancel.pml: one task between run, park, unpark, cancel, abandon, its done and its next
 * run (csrc/pool/abandon.c, holdings.c, run.c, worker.c, csrc/mailbox/task.c). A step is
 * what happens under one hold of the pool's lock, or one atomic access.
 */
//! ok    cancel-park          -DMAILS=2 -DCANCELS=1
//! ok    two-cancels          -DMAILS=2 -DCANCELS=2 -DROUNDS=1
//! ok    mail-missing         -DMAILS=1 -DCANCELS=1
//! ok    abandon              -DMAILS=1 -DCANCELS=1 -DABANDON
//! found flag-seen-early      -DMAILS=2 -DCANCELS=0 -DBUG_FLAG_EARLY : assertion violated ((settles
//! found flag-cleared-late    -DMAILS=2 -DCANCELS=0 -DBUG_CLEAR_LATE : assertion violated ((settles
//! found unpark-forgotten     -DMAILS=2 -DCANCELS=0 -DBUG_UNPARK_FORGOTTEN : assertion violated ((settles
//! found cancels-running      -DMAILS=2 -DCANCELS=1 -DBUG_CANCEL_RUNNING : assertion violated
//! found state-before-lock    -DMAILS=2 -DCANCELS=1 -DBUG_STATE_EARLY : assertion violated
//! found cancel-lost-in-park  -DMAILS=1 -DCANCELS=1 -DBUG_CANCEL_LOST : assertion violated !(owed)
//! found release-by-look      -DMAILS=1 -DCANCELS=1 -DABANDON -DBUG_RELEASE_BY_LOOK : assertion violated
//! found lost-one-settles     -DMAILS=1 -DCANCELS=1 -DABANDON -DBUG_LOST_SETTLES : assertion violated

#define NEED    2 /* mails until run returns 0: MAILS of them come */
#define WORKERS 2
#ifndef ROUNDS
#define ROUNDS  2 /* done runs the task once more */
#endif

mtype = { IDLE, CLAIMED, QUEUED, RUNNING, PARKED, SETTLED };
mtype = { OK, ECANCELED, PARK };

mtype state = IDLE, outcome = OK;
bool in_queue, in_parked, in_running;   /* on which list it stands */
bool f_cancel, f_unparked, f_abandoned; /* flags */
bool f_let_go, f_told;
byte mail = 0, got = 0;
byte accepted = 0, settles = 0, dones = 0, in_run = 0, releases = 0;
bool owed;   /* a cancel got EBUSY: this round may not stay parked */
bool posted; /* in the main's mailbox */
bool lost[WORKERS];

#ifdef ABANDON
#define released (releases > 0) /* nobody may touch it */
#else
#define released false
#endif

inline settle(how)
{
    assert(!in_queue && !in_parked && !in_running && state != SETTLED);
    state = SETTLED; outcome = how; settles++; owed = false;
    assert(settles == accepted)
}

inline unlink()
{
    assert(in_queue || in_parked || in_running);
    in_queue = false; in_parked = false; in_running = false
}

inline submit()
{
    atomic { assert(state == IDLE); state = CLAIMED }
    atomic { f_cancel = false; f_unparked = false }
    atomic { state = QUEUED; in_queue = true; accepted++; got = 0; mail = 0 }
}

/* run: takes what mail there is; with too little of it it parks. A request to
 * cancel may be honoured or not. */
inline call_run()
{
    in_run++;
    assert(in_run == 1 && !released);
    atomic { got = got + mail; mail = 0 }
    if
    :: got >= NEED -> result = OK
    :: got < NEED -> result = PARK
    :: f_cancel -> result = ECANCELED
    fi;
    in_run--
}

inline let_go()
{
#ifdef BUG_RELEASE_BY_LOOK
    old = f_told; f_let_go = true;
#else
    atomic { assert(!released); old = f_told; f_let_go = true }
#endif
    if
    :: old -> atomic { releases++; assert(releases == 1) }
    :: else
    fi
}

proctype worker(byte me)
{
    mtype result;
    bool unparked, tell, ours, old;
end_look:
    atomic {
        state == QUEUED && !lost[me];
        assert(in_queue);
        unlink(); state = RUNNING; in_running = true;
#ifndef BUG_CLEAR_LATE
        f_unparked = false
#endif
    }
#ifdef BUG_CLEAR_LATE
    got = got + mail; mail = 0;
    f_unparked = false;
#endif
    call_run();
#ifdef BUG_FLAG_EARLY
    unparked = f_unparked;
#endif
    atomic {
        tell = false;
        ours = !lost[me];
#ifdef BUG_LOST_SETTLES
        ours = true;
#endif
#ifndef BUG_FLAG_EARLY
        unparked = f_unparked;
#endif
        if
        :: !ours
        :: ours ->
            unlink();
            if
            :: result != PARK -> settle(result); tell = true
#ifndef BUG_CANCEL_LOST
            :: result == PARK && f_cancel -> settle(ECANCELED); tell = true
            :: result == PARK && !f_cancel && unparked ->
#else
            :: result == PARK && unparked ->
#endif
                state = QUEUED; in_queue = true
            :: else -> state = PARKED; in_parked = true
            fi
        fi
    }
    if
    :: tell -> posted = true
    :: else
    fi;
    if
    :: !ours -> let_go(); goto end_gone
    :: else -> goto end_look
    fi;
end_gone:
    false
}

/* Each brings one mail per round and then tells the task. */
active [MAILS] proctype sender()
{
    byte round = 1;
    bool seen;
    do
    :: round <= ROUNDS ->
end_wait:
        accepted >= round;
        if
        :: atomic { accepted == round -> mail++ }
            seen = (state == QUEUED || state == RUNNING || state == PARKED);
            if
            :: seen ->
                atomic {
                    if
#ifndef BUG_UNPARK_FORGOTTEN
                    :: state == RUNNING -> f_unparked = true
#endif
                    :: state == PARKED -> unlink(); state = QUEUED; in_queue = true
                    :: else
                    fi
                }
            :: else
            fi
        :: else
        fi;
        round++
    :: else -> break
    od
}

#if CANCELS > 0
active [CANCELS] proctype canceller()
{
    bool tell;
    mtype seen;
    seen = state;
    if
    :: seen == QUEUED || seen == RUNNING || seen == PARKED ->
        atomic {
#ifndef BUG_STATE_EARLY
            seen = state;
#endif
            if
            :: seen == QUEUED || seen == PARKED ->
                unlink(); assert(in_run == 0); settle(ECANCELED); tell = true
#ifdef BUG_CANCEL_RUNNING
            :: seen == RUNNING -> unlink(); settle(ECANCELED); tell = true
#else
            :: seen == RUNNING -> f_cancel = true; owed = true /* EBUSY */
#endif
            :: else
            fi
        }
        if
        :: tell -> posted = true
        :: else
        fi
    :: else
    fi
}
#endif

#ifdef ABANDON
/* weir_task_abandon: swap_thread() with a replacement at hand */
active proctype abandoner()
{
    bool tell;
    if
    :: state == RUNNING ->
        atomic {
            if
            :: state == RUNNING ->
                lost[0] = true; /* the only worker in this search */
                unlink(); f_cancel = true; f_abandoned = true;
                settle(ECANCELED); tell = true
            :: else
            fi
        }
        if
        :: tell -> posted = true
        :: else
        fi
    :: skip
    fi
}
#endif

/* The main: wi_task_tell, and a done that runs the task again. */
active proctype main()
{
    bool abandoned, old;
end_wait:
    do
    :: atomic { posted -> posted = false }
        assert(!released);
        abandoned = f_abandoned;
        if
        :: !abandoned -> atomic { assert(state == SETTLED); state = IDLE }
        :: else
        fi;
        dones++;
        if
        :: !abandoned && accepted < ROUNDS -> submit()
        :: abandoned ->
#ifdef BUG_RELEASE_BY_LOOK
            old = f_let_go; f_told = true;
#else
            atomic { old = f_let_go; f_told = true }
#endif
            if
            :: old -> let_go()
            :: else
            fi
        :: else
        fi
    od
}

init {
    bool abandoned;
    atomic {
        run worker(0);
#ifndef ABANDON
        run worker(1);
#endif
        accepted = 1; state = QUEUED; in_queue = true
    }
    timeout;
    abandoned = f_abandoned;
    assert(settles == accepted || (MAILS < NEED && state == PARKED && settles + 1 == accepted));
    assert(dones == settles && in_run == 0);
    assert(!owed);
    assert(releases == (abandoned -> 1 : 0));
    assert(state == PARKED || settles == ROUNDS || abandoned)
}

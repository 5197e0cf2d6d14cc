/* SPDX-License-Identifier: ISC
 *
 * finish.pml: whose memory a run_in_main call and its main are: the caller, fn,
 * a finish from another thread at any later time, EDEADLK, and the main's close
 * (csrc/mailbox/call.c, the references in csrc/mailbox/mailbox.c, the count in pending.c).
 */
//! ok    one-call            -DCALLS=1
//! ok    two-calls           -DCALLS=2
//! found finish-unchecked    -DCALLS=1 -DBUG_FINISH_UNCHECKED : assertion violated (state[c]!=
//! found only-caller-frees   -DCALLS=1 -DBUG_ONLY_CALLER_FREES : assertion violated !(freed[c])
//! found only-finish-frees   -DCALLS=1 -DBUG_ONLY_FINISH_FREES : assertion violated !(freed[c])
//! found begin-holds-nothing -DCALLS=1 -DBUG_NO_OWN_REF : assertion violated !(freed[c])
//! found main-not-held       -DCALLS=1 -DBUG_MAIN_NOT_HELD : assertion violated !(main_freed)
//! found posted-keeps-ref    -DCALLS=1 -DBUG_POSTED_KEEPS_REF : assertion violated ((freed[c]
//! found came-twice          -DCALLS=1 -DBUG_CAME_TWICE : assertion violated (pending>0)

mtype = { NEW, POSTED, BEGUN, ENDED };
mtype = { OPEN, OK, ECLOSED, EDEADLK };

/* One atomic word in the code. The handle and each caller that is under way. */
byte holders = 1 + CALLS, pending = 0;
bool main_freed, closed;

mtype state[CALLS] = NEW, code[CALLS] = OPEN;
byte refs[CALLS];
bool freed[CALLS], in_box[CALLS], given[CALLS], token[CALLS];
byte returned[CALLS], finishes[CALLS], late[CALLS], handed = 0;

inline touch_main() { assert(!main_freed) }
inline touch(c) { assert(!freed[c]) }
inline free_call(c) { touch(c); freed[c] = true }

inline free_unused_main()
{
    if
    :: holders == 0 && pending == 0 -> main_freed = true
    :: else
    fi
}
inline hold() { atomic { touch_main(); holders++ } }
inline release() { atomic { touch_main(); assert(holders > 0); holders--; free_unused_main() } }
inline put() { atomic { touch_main(); assert(pending > 0); pending--; free_unused_main() } }

/* By another thread than the owner, who looks at the count once more. */
inline came()
{
    hold();
    put();
    if
    :: atomic { pending == 0 -> touch_main() } /* the nudge locks the main */
    :: else
    fi;
    release()
}

inline end_call(c, how)
{
    touch(c);
    assert(state[c] != ENDED);
    state[c] = ENDED; code[c] = how; token[c] = true
}

/* How the references are meant, and how they are not. */
#if defined(BUG_ONLY_CALLER_FREES)
#define by_caller true
#define by_finish false
#elif defined(BUG_ONLY_FINISH_FREES)
#define by_caller false
#define by_finish true
#else
#define by_caller (refs[c] == 0)
#define by_finish (refs[c] == 0)
#endif

/* weir_call_finish, on any thread; is_owner: on the main's */
inline finish(c, is_owner)
{
    touch(c); /* call->main */
    atomic {
        touch_main(); touch(c);
        in_time = true;
#ifndef BUG_FINISH_UNCHECKED
        in_time = (state[c] == BEGUN);
#endif
        if
        :: in_time -> end_call(c, OK)
        :: else -> late[c]++
        fi;
        finishes[c]++; handed--; refs[c]--;
        last = by_finish
    }
    if
    :: atomic { last -> free_call(c) }
    :: else
    fi;
#ifdef BUG_CAME_TWICE
    in_time = true;
#endif
    if
    :: in_time && is_owner -> put()
    :: in_time && !is_owner -> came()
    :: else
    fi;
#ifndef BUG_MAIN_NOT_HELD
    release()
#endif
}

proctype caller(byte c)
{
    bool last;
    atomic { touch_main(); pending++; refs[c] = 2 } /* the caller's hold is counted from the start */
    atomic {
        touch_main();
        if
        :: closed -> last = true; freed[c] = true
        :: else -> state[c] = POSTED; in_box[c] = true
        fi
    }
    if
    :: last -> code[c] = ECLOSED; came()
    :: else ->
        do
        :: atomic { state[c] == ENDED -> touch_main(); touch(c); refs[c]--; last = by_caller; break }
        :: else -> atomic { token[c] -> token[c] = false }
        od;
        if
        :: atomic { last -> free_call(c) }
        :: else
        fi
    fi;
    returned[c]++;
    release()
}

proctype finisher(byte c)
{
    bool last, in_time;
    if
    :: atomic { given[c] -> given[c] = false } finish(c, false)
    :: atomic { returned[c] > 0 && finishes[c] > 0 }       /* fn has finished it */
    :: atomic { returned[c] > 0 && handed == 0 && main_freed } /* fn was never called */
    fi
}

inline begin(c, blocking)
{
#ifndef BUG_MAIN_NOT_HELD
    hold();
#endif
    hold();
    atomic {
        touch_main(); touch(c);
        in_box[c] = false; state[c] = BEGUN; handed++;
#ifndef BUG_NO_OWN_REF
        refs[c]++
#endif
    }
    if
    :: finish(c, true)
    :: given[c] = true
    fi;
    atomic {
        touch_main(); touch(c);
        unfinished = blocking && state[c] == BEGUN;
        if
        :: unfinished -> end_call(c, EDEADLK)
        :: else
        fi;
        last = false;
#ifndef BUG_NO_OWN_REF
        refs[c]--; last = by_finish && refs[c] == 0
#endif
    }
    if
    :: atomic { last -> free_call(c) }
    :: else
    fi;
    if
    :: unfinished -> put()
    :: else
    fi;
    release()
}

inline deliver(blocking)
{
    for (c : 0 .. CALLS - 1) {
        if
        :: in_box[c] -> begin(c, blocking)
        :: else
        fi
    }
}

inline fail_calls()
{
    atomic {
        touch_main();
        n = 0;
        for (c : 0 .. CALLS - 1) {
            if
            :: in_box[c] ->
                in_box[c] = false;
#ifndef BUG_POSTED_KEEPS_REF
                refs[c]--;
#endif
                end_call(c, ECLOSED); n++
            :: state[c] == BEGUN -> end_call(c, ECLOSED); n++
            :: else
            fi
        }
        c = 0
    }
    do
    :: n > 0 -> put(); n--
    :: else -> break
    od
}

active proctype owner()
{
    byte c, n;
    bool last, in_time, unfinished;
    if
    :: deliver(false)
    :: deliver(true)
    :: skip
    fi;
    fail_calls(); /* weir_main_close, then wi_main_shut */
    atomic { touch_main(); closed = true }
    fail_calls();
    release()
}

init {
    byte c;
    atomic {
        for (c : 0 .. CALLS - 1) { run caller(c); run finisher(c) }
    }
    timeout;
    for (c : 0 .. CALLS - 1) {
        assert(freed[c] && returned[c] == 1 && refs[c] == (state[c] == NEW -> 2 : 0));
        assert(late[c] == (finishes[c] == 1 && code[c] != OK -> 1 : 0))
    }
    assert(main_freed && handed == 0)
}

/* SPDX-License-Identifier: ISC
 *
 * parker.pml: the futex parker word by word: park with and without a deadline
 * against two unparks and the kernel's own steps (csrc/base/park.c).
 */
//! ok    whole
//! found wait-no-compare  -DBUG_NO_COMPARE : invalid end state
//! found timeout-store    -DBUG_TIMEOUT_STORE : assertion violated
//! found wake-first       -DBUG_WAKE_FIRST : invalid end state

#define ASLEEP 0
#define EMPTY  1
#define TOKEN  2

byte word = EMPTY;
bool in_kernel;     /* the sleeper is on the kernel's list of this address */
byte left = 0;      /* unparks whose exchange is done ... */
byte taken = 0;     /* ... and tokens that a park has consumed */
byte merged = 0;    /* unparks that met a token which nobody had taken: one is enough */
bool begun;         /* the round that has no deadline is under way */

/* FUTEX_WAIT compares and sleeps in one step; a deadline may end it any time,
 * and so may a wake meant for whoever had this address before. */
inline futex_wait(timed)
{
    atomic {
        if
        :: word == ASLEEP -> in_kernel = true
#ifdef BUG_NO_COMPARE
        :: else -> in_kernel = true
#else
        :: else
#endif
        fi
    }
    expired = false;
    if
    :: atomic { !in_kernel }
    :: atomic { in_kernel && timed -> in_kernel = false; expired = true }
    :: atomic { in_kernel && strays > 0 -> in_kernel = false; strays-- }
    fi
}

/* got: whether the park returns with a token */
inline park(timed)
{
    got = false;
    atomic { old = word; word = (old == TOKEN -> EMPTY : ASLEEP) }
    if
    :: old == TOKEN -> got = true
    :: else ->
        assert(old == EMPTY); /* one sleeper */
        do
        :: futex_wait(timed);
            if
            :: atomic { word == TOKEN -> word = EMPTY } got = true; break
            :: else
            fi;
            if
            :: expired ->
#ifdef BUG_TIMEOUT_STORE
                word = EMPTY; break
#else
                atomic { got = (word == TOKEN); word = EMPTY } break
#endif
            :: else
            fi
        od
    fi;
    if
    :: got -> taken++
    :: else
    fi
}

active proctype sleeper()
{
    byte old;
    bool expired, got;
    byte strays = 1;

    park(true);
    park(true);
    /* Whatever those two did, the unpark that follows must end this one. */
    begun = true;
    park(false);
    assert(got);
    assert(word != ASLEEP && !in_kernel)
}

inline unpark()
{
#ifdef BUG_WAKE_FIRST
    atomic { if :: word == ASLEEP -> in_kernel = false :: else fi }
    word = TOKEN; left++
#else
    atomic { was = word; word = TOKEN; left++; merged = merged + (was == TOKEN -> 1 : 0) }
    if
    :: atomic { was == ASLEEP -> in_kernel = false }
    :: else
    fi
#endif
}

active proctype early()
{
    byte was;
    unpark()
}

active proctype late()
{
    byte was;
    begun;
    unpark()
}

active proctype judge()
{
    timeout;
    assert(left == 2 && taken + merged + (word == TOKEN -> 1 : 0) == left)
}

/* SPDX-License-Identifier: ISC
 *
 * lock.pml: the core's lock on a futex: free, taken, taken and perhaps waited for
 * (csrc/base/platform.h, csrc/base/park.c).
 */
//! ok    lock
//! found leaves-taken   -DBUG_LEAVES_TAKEN : invalid end state
//! found wakes-nobody   -DBUG_WAKES_NOBODY : invalid end state
//! found wait-no-compare -DBUG_NO_COMPARE : invalid end state
//! found try-stores     -DBUG_TRY_STORES : assertion violated (holders==1)

#define THREADS 3
#define EACH    2

byte word = 0;
byte asleep = 0, woken = 0; /* in the kernel; of them, who may go on */
byte holders = 0;

/* wi_mutex_wait() */
inline wait()
{
    slept = false;
    do
    :: true ->
        atomic {
            was = word;
#ifdef BUG_LEAVES_TAKEN
            word = (slept -> 1 : 2)
#else
            word = 2
#endif
        }
        if
        :: was == 0 -> break
        :: else
        fi;
        atomic {
            if
#ifdef BUG_NO_COMPARE
            :: true -> asleep++; slept = true
#else
            :: word == 2 -> asleep++; slept = true
            :: else -> slept = slept; goto again
#endif
            fi
        }
        atomic { woken > 0 -> woken--; asleep-- }
again:
        skip
    od
}

inline lock()
{
#ifdef BUG_TRY_STORES
    was = word;
    atomic { word = (was == 0 -> 1 : word) }
#else
    atomic { was = word; word = (was == 0 -> 1 : word) } /* wi_mutex_try() */
#endif
    if
    :: was != 0 -> wait()
    :: else
    fi
}

inline unlock()
{
    atomic { was = word; word = 0 }
#ifndef BUG_WAKES_NOBODY
    if
    :: was == 2 -> atomic { woken = woken + (asleep > woken -> 1 : 0) } /* wi_mutex_notify() */
    :: else
    fi
#endif
}

active [THREADS] proctype thread()
{
    byte was, i = 0;
    bool slept;
    do
    :: i < EACH ->
        lock();
        holders++;
        assert(holders == 1);
        holders--;
        unlock();
        i++
    :: else -> break
    od
}

/* SPDX-License-Identifier: ISC
 *
 * wire.pml: three threads each bring a job and send it themselves, or wake the I/O thread
 * (remote/csrc/io.c, bell.c). A sender has the wire's lock while it looks and writes; it takes
 * the lock only if it is free. The socket takes nothing for a while: what was written then waits
 * in the outbox for the I/O thread, which sleeps until it is woken or the socket takes bytes.
 */
//! ok    all-go-out           -DFULL=0
//! ok    a-full-socket        -DFULL=1
//! found not-woken-when-taken -DFULL=0 -DBUG_NO_WAKE : assertion violated (sent==
//! found not-woken-when-full  -DFULL=1 -DBUG_FULL_UNSEEN : assertion violated (sent==
//! found slept-on-a-ring      -DFULL=0 -DBUG_CLEARS_LATE : assertion violated (sent==

byte waiting = 0, outbox = 0, sent = 0; /* jobs: to be sent, in the outbox, gone */
bool locked, takes = true, pulled, posted, seen_full;

inline write_out()
{
    if
    :: takes -> sent = sent + outbox; outbox = 0
    :: else
    fi
}

/* What a sender does under the lock. left: something is for the I/O thread. */
inline send_locked(left)
{
    left = outbox > 0;
    do
    :: atomic { !left && waiting > 0 -> waiting--; outbox++ }
    :: atomic { left || waiting == 0 -> break }
    od;
    atomic {
        if
        :: !left -> write_out()
        :: else
        fi;
#ifndef BUG_FULL_UNSEEN
        left = left || outbox > 0
#endif
    }
}

inline wake()
{
    atomic {
        if
        :: !pulled -> pulled = true; posted = true
        :: else
        fi
    }
}

active [3] proctype brings()
{
    bool left = true, mine = false;
    atomic { waiting++ }
    atomic {
        if
        :: !locked -> locked = true; mine = true
        :: else
        fi
    }
    if
    :: mine -> send_locked(left); locked = false
    :: else
#ifdef BUG_NO_WAKE
        -> left = false
#endif
    fi;
    if
    :: left -> wake()
    :: else
    fi
}

active proctype io()
{
end_turn:
    do
    :: atomic { posted || (seen_full && takes) ->
#ifndef BUG_CLEARS_LATE
           if :: posted -> posted = false; pulled = false :: else fi
#else
           skip
#endif
       }
       atomic { !locked -> locked = true }
       atomic { write_out() }
       do
       :: atomic { outbox == 0 && waiting > 0 -> waiting--; outbox++; write_out() }
       :: atomic { outbox > 0 || waiting == 0 -> break }
       od;
       locked = false;
       atomic { !locked -> seen_full = outbox > 0 }
#ifdef BUG_CLEARS_LATE
       atomic { posted = false; pulled = false }
#endif
    od
}

active proctype server()
{
    byte i = 0;
end_server:
    do
    :: atomic { i < FULL && takes -> takes = false; i++ }
    :: atomic { !takes -> takes = true }
    od
}

active proctype ends()
{
    timeout -> assert(sent == 3)
}

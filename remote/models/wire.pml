/* SPDX-License-Identifier: ISC
 *
 * wire.pml: three threads each bring a job and send it themselves, or leave it to another
 * (remote/csrc/io.c, bell.c). A sender has the wire's lock while it looks and writes; if
 * somebody else has it, it asks, and whoever has had it looks for that. The socket takes nothing
 * for a while: what was written then waits in the outbox for the I/O thread, which sleeps until it
 * is woken or the socket takes bytes.
 */
//! ok    all-go-out           -DFULL=0
//! ok    a-full-socket        -DFULL=1
//! found does-not-ask         -DFULL=0 -DBUG_NO_ASK : assertion violated (sent==
//! found asks-and-goes        -DFULL=0 -DBUG_ONE_TRY : assertion violated (sent==
//! found looks-too-early      -DFULL=0 -DBUG_LOOKS_EARLY : assertion violated (sent==
//! found sleeps-though-asked  -DFULL=1 -DBUG_SLEEPS : assertion violated (sent==
//! found not-woken-when-full  -DFULL=1 -DBUG_FULL_UNSEEN : assertion violated (sent==

byte waiting = 0, outbox = 0, sent = 0; /* jobs: to be sent, in the outbox, gone */
bool locked, takes = true, pulled, posted, seen_full, asked, again;

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

inline try()
{
    atomic {
        if
        :: !locked -> locked = true; mine = true
        :: else -> mine = false
        fi
    }
}

active [3] proctype brings()
{
    bool left = false, mine = false, more;
    atomic { waiting++ }
    try();
#ifndef BUG_NO_ASK
    if
    :: !mine -> atomic { asked = true }
#ifndef BUG_ONE_TRY
                try()
#endif
    :: else
    fi;
#endif
    do
    :: mine ->
        atomic { asked = false }
        send_locked(left);
#ifdef BUG_LOOKS_EARLY
        atomic { more = asked }
        atomic { locked = false }
#else
        atomic { locked = false }
        atomic { more = asked }
#endif
        if
        :: !left && more -> try()
        :: else -> mine = false
        fi
    :: else -> break
    od;
    if
    :: left -> wake()
    :: else
    fi
}

active proctype io()
{
end_turn:
    do
    :: atomic { posted || again || (seen_full && takes) ->
           if :: posted -> posted = false; pulled = false :: else fi }
       atomic { !locked -> locked = true; asked = false }
       atomic { write_out() }
       do
       :: atomic { outbox == 0 && waiting > 0 -> waiting--; outbox++; write_out() }
       :: atomic { outbox > 0 || waiting == 0 -> break }
       od;
       locked = false;
       atomic { !locked -> seen_full = outbox > 0 }
#ifdef BUG_SLEEPS
       atomic { again = false }
#else
       atomic { again = asked }
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

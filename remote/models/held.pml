/* SPDX-License-Identifier: ISC
 *
 * held.pml: one request that a loop is given, between its arrival, the program's answer and
 * release on another thread, run_within, and a client that cancels (remote/csrc/loop.c,
 * request.c). LATER: it begins on that thread. A step is what happens under one hold of the farm's lock.
 */
//! ok    all                  -DSTOP -DHANG
//! ok    given-back           -DSTOP -DHANG -DRETRY
//! ok    begins-later         -DSTOP -DHANG -DLATER
//! ok    begins-again         -DSTOP -DHANG -DLATER -DRETRY
//! found over-twice           -DHANG -DBUG_RELEASE_BLIND : assertion violated (overs<=1)
//! found answer-looks-early   -DHANG -DBUG_HANG_EARLY : assertion violated (overs<=1)
//! found never-over           -DHANG -DBUG_HANG_SILENT : assertion violated ((overs
//! found freed-while-asked    -DSTOP -DBUG_ASK_NO_REF : assertion violated (refs>0)
//! found asked-twice          -DSTOP -DHANG -DBUG_ASKED_TWICE : assertion violated (asked<=1)
//! found run-after-stop       -DSTOP -DRETRY -DBUG_RUN_STOPPED : assertion violated !(stop_known)
//! found limit-too-early      -DHANG -DLATER -DBUG_LIMIT_EARLY : assertion violated begun
//! found begin-after-stop     -DSTOP -DLATER -DBUG_BEGIN_BLIND : assertion violated !(stop_seen)

byte refs = 1, overs = 0, asked = 0, stops = 0, attempt = 1, holds = 0;
bool coming = true, begun, stop, stop_known, answered, abandoned, held, wants_retry, asks, done;

/* over of the route, which ends the request or has it run again. */
inline go_on()
{
    atomic { overs++; assert(overs <= 1); assert(refs > 0) }
    if
    :: atomic { wants_retry && !stop && !abandoned ->
           overs = 0; answered = false; wants_retry = false; begun = false; attempt++; coming = true }
    :: atomic { else -> done = true; refs-- }
    fi
}

inline ask()
{
#ifdef BUG_ASKED_TWICE
    atomic { old = false; stop = true;
#else
    atomic { old = stop; stop = true;
#endif
#ifndef BUG_ASK_NO_REF
        if :: !old -> refs++ :: else fi
#endif
    }
    if
    :: !old -> atomic { asked++; assert(asked <= 1); asks = true }
    :: else
    fi
}

active proctype loop()
{
end_turn:
    do
    :: atomic { coming -> coming = false; stop_known = stop }
#ifdef BUG_RUN_STOPPED
       if :: true ->
#else
       if
       :: stop_known -> atomic { answered = true } go_on()
       :: else ->
#endif
           atomic { held = true; refs++; assert(!stop_known); holds++
#ifndef LATER
               begun = true
#endif
           }
       fi
    :: atomic { asks && !coming -> asks = false; assert(refs > 0); if :: held -> stops++ :: else fi }
#ifndef BUG_ASK_NO_REF
       atomic { assert(refs > 0); refs-- }
#endif
    :: atomic { timeout -> assert((overs == 1 && done)); assert(refs == 0); assert(!held); break }
    od
}

active proctype program()
{
    bool late, stop_seen;
end_program:
    do
    :: atomic { holds > 0 -> holds-- }
#ifdef LATER
       atomic { stop_seen = stop }
#ifdef BUG_BEGIN_BLIND
       if :: true ->
#else
       if
       :: stop_seen -> atomic { assert(!answered); answered = true }
       :: else ->
#endif
           atomic { begun = true; assert(!stop_seen) }
       fi;
#endif
       if
       :: atomic { if
                   :: !answered -> answered = true
#ifdef RETRY
                   :: !answered && attempt < 2 -> answered = true; wants_retry = true
#endif
                   :: else
                   fi }
       :: skip
       fi;
       atomic { assert(refs > 0); late = abandoned; answered = true; held = false }
#ifdef BUG_RELEASE_BLIND
       late = false;
#endif
       if
       :: !late -> go_on()
       :: else
       fi;
       atomic { assert(refs > 0); refs-- }
    od
}

#ifdef STOP
active proctype client()
{
    bool old;
    if
    :: atomic { !done -> refs++ } /* found on the farm's list */
       ask();
       atomic { refs-- }
    :: done
    fi
}
#endif

#ifdef HANG
active proctype clock()
{
    bool old, hung = false;
end_clock:
#ifdef BUG_HANG_EARLY
    atomic { held && begun && !answered }
    atomic { answered = true; abandoned = true; refs++; hung = true }
#elif defined(BUG_LIMIT_EARLY)
    atomic { held && !answered -> assert(begun); answered = true; abandoned = true; refs++; hung = true }
#else
    atomic { held && begun && !answered -> answered = true; abandoned = true; refs++; hung = true }
#endif
    ask();
#ifndef BUG_HANG_SILENT
    go_on();
#endif
    atomic { assert(refs > 0); refs-- }
}
#endif

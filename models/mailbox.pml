/* SPDX-License-Identifier: ISC
 *
 * mailbox.pml: posters, the descriptor, dispatch with a budget and nested
 * dispatch, weir_main_wait_next, and the descriptor's end (csrc/mailbox/mailbox.c, dispatch.c, main.c).
 */
//! ok    loop
//! ok    wait                 -DWAIT
//! ok    shut                 -DSHUT
//! ok    quiet                -DQUIET
//! found take-before-read     -DBUG_TAKE_FIRST : assertion violated ((((delivered+refused)==4)
//! found no-rearm             -DBUG_NO_REARM : assertion violated ((((delivered+refused)==4)
//! found cleared-after-take  -DBUG_CLEAR_LATE : assertion violated ((((delivered+refused)==4)
//! found first-looks-early  -DBUG_FIRST_EARLY : assertion violated ((((delivered+refused)==4)
//! found last-tells         -DBUG_LAST_TELLS : assertion violated ((((delivered+refused)==4)
//! found cleared-unread       -DBUG_CLEAR_UNREAD : assertion violated ((fd+owed)<=1)
//! found wait-without-look    -DWAIT -DBUG_NO_LOOK : invalid end state
//! found wait-no-flag         -DWAIT -DBUG_NO_FLAG : invalid end state
//! found quiet-ends-unseen    -DQUIET -DBUG_QUIET_LATE : assertion violated ((((delivered+refused)==4)
//! ok    lots                 -DLOTS
//! ok    lots-wait            -DLOTS -DWAIT
//! ok    lots-shut            -DLOTS -DSHUT
//! found sorted-unseen        -DLOTS -DBUG_SORTED_UNSEEN : assertion violated ((((delivered+refused)==4)
//! found sorts-unlocked       -DLOTS -DBUG_SORTS_UNLOCKED : assertion violated
//! found closed-under-writer  -DSHUT -DBUG_CLOSED_UNDER_WRITER : assertion violated !(fd_closed)
//! found closed-by-nobody     -DSHUT -DBUG_CLOSED_BY_NOBODY : assertion violated (fd_closed&&
//! found posted-after-shut    -DSHUT -DBUG_POSTED_AFTER : assertion violated
//! found tells-blindly        -DSHUT -DBUG_TELLS_BLINDLY : assertion violated !(fd_closed)

/* At most one write is under way, so that one read empties a pipe. */
#ifdef BUG_TAKE_FIRST /* breaks this too: let the search go on to what it costs */
#define one_write true
#else
#define one_write (fd + owed <= 1)
#endif


#define POSTERS 2
#define EACH    2
#define ITEMS   4

chan box = [ITEMS] of { byte }; /* the arrivals */
byte n_box = 0;
bool closed;    /* they are shut */

/* Guarded by the main's lock. */
chan sorted = [ITEMS] of { byte }; /* taken from the arrivals, in order */
byte n_sorted = 0;
bool signalled; /* a write is owed or done, and was not read yet */
bool quiet;     /* no write is owed: the owner looks before it polls */
bool waited;    /* weir_main_wait_next sleeps: unpark in place of a write */
bool shut;      /* nobody reads the descriptor any more; the last writer closes it */
byte writers = 0;

byte fd = 0, owed = 0; /* writes done and not read; writes that somebody owes */
bool token;            /* of the owner's parker */
bool fd_closed;        /* its number may be somebody else's */
byte refused = 0;      /* posts that found the main closed */

/* The owner's alone. */
chan batch = [ITEMS] of { byte };
byte n_batch = 0, delivered = 0, next[POSTERS], nested = 0;

inline raise_it()
{
    atomic { assert(!fd_closed); fd++; owed--; assert(one_write) }
}

/* close_wake(): by a writer after its write, by the owner that has shut the main */
inline close_wake(writer)
{
    atomic {
        writers = writers - (writer -> 1 : 0);
        shut = shut || !writer;
#ifdef BUG_CLOSED_UNDER_WRITER
        last = shut && !writer;
#elif defined(BUG_CLOSED_BY_NOBODY)
        last = !writer && writers == 0;
#else
        last = shut && writers == 0;
#endif
    }
    if
    :: atomic { last -> assert(!fd_closed); fd_closed = true }
    :: else
    fi
}

/* wi_main_sort_locked() */
inline sort()
{
    do
    :: n_box > 0 -> box?item; sorted!item; n_box--; n_sorted++
    :: else -> item = 0; break
    od
}

active [POSTERS] proctype poster()
{
    byte i = 0, item;
    bool first, there, raise, unpark, last;
    do
    :: i < EACH ->
#ifdef BUG_FIRST_EARLY
        first = (n_box == 0);
#endif
        atomic { /* the push */
#ifndef BUG_FIRST_EARLY
            first = (n_box == 0);
#endif
#ifdef BUG_LAST_TELLS
            first = !first;
#endif
            if
#ifdef BUG_POSTED_AFTER
            :: true -> box!(_pid * EACH + i); n_box++
#else
            :: closed -> refused++; first = false
            :: !closed -> box!(_pid * EACH + i); n_box++
#endif
            fi;
            i++
        }
        raise = false; unpark = false;
#ifdef LOTS
        if
#ifdef BUG_SORTS_UNLOCKED
        :: atomic { n_box > 0 -> box?item; n_box-- }
            atomic { sorted!item; n_sorted++; item = 0 }
#else
        :: atomic { sort() } /* the post ended a lot */
#endif
        :: true
        fi;
#endif
        if
        :: first -> /* tell_owner() */
            atomic {
#ifdef BUG_SORTED_UNSEEN
                there = (n_box > 0);
#else
                there = (n_box + n_sorted > 0);
#endif
#ifdef BUG_TELLS_BLINDLY
                there = true;
#endif
                unpark = there && waited;
                raise = there && !unpark && !signalled && !quiet;
                if
                :: raise -> signalled = true; owed++; writers++
                :: else
                fi;
                assert(one_write)
            }
        :: else
        fi;
        if
        :: raise -> raise_it(); close_wake(true)
        :: unpark -> token = true
        :: else
        fi
    :: else -> break
    od
}

/* wi_main_take_arrivals_locked() */
inline splice()
{
    sort();
    do
    :: n_sorted > 0 -> sorted?item; batch!item; n_sorted--; n_batch++
    :: else -> break
    od
}

inline drain()
{
    atomic { was_readable = (fd > 0); fd = 0 }
}

inline take()
{
#ifdef BUG_TAKE_FIRST
    atomic { splice() }
    signalled = false;
    drain();
#else
    was_readable = false;
    if
    :: signalled -> drain()
    :: !signalled
    fi;
#ifdef BUG_CLEAR_UNREAD
    was_readable = true;
#endif
#ifdef BUG_CLEAR_LATE
    atomic { splice() }
#endif
    if
    :: was_readable -> signalled = false
    :: else
    fi;
#ifndef BUG_CLEAR_LATE
    atomic { splice() }
#endif
#endif
    item = 0
}

/* Items are numbered per poster: order within one poster is kept. */
inline deliver_one()
{
    atomic {
        batch?item; n_batch--;
        assert(item % EACH == next[item / EACH]);
        next[item / EACH]++; delivered++; item = 0
    }
}

inline rearm()
{
#ifndef BUG_NO_REARM
    raise = false;
    atomic {
        if
        :: (n_batch > 0 || n_box > 0 || n_sorted > 0) && !signalled && !quiet -> signalled = true; raise = true; owed++
        :: else
        fi
    }
    if
    :: raise -> raise_it()
    :: else
    fi
#else
    skip
#endif
}

/* A budget of one, or none. In one of the callbacks a nested dispatch goes on
 * with the same list. */
inline dispatch(most)
{
    take();
    count = 0;
    do
    :: n_batch > 0 && (most == 0 || count < most) ->
        deliver_one(); count++;
        if
        :: nested == 0 ->
            nested++;
            take();
            if
            :: n_batch > 0 -> deliver_one()
            :: else
            fi;
            if
            :: n_batch > 0 -> rearm()
            :: else
            fi
        :: skip
        fi
    :: else -> break
    od;
    if
    :: n_batch > 0 -> rearm()
    :: else
    fi
}

/* A turn of a loop's glue: it dispatches, and those who went on submit more. */
inline quiet_turn()
{
    quiet = true;
    dispatch(1);
#ifdef BUG_QUIET_LATE
    quiet = false; raise = false /* and no look at what came meanwhile */
#else
    quiet = false;
    rearm()
#endif
}

inline main_wait()
{
    dispatch(0);
    found = count;
    do
    :: found == 0 && delivered < ITEMS ->
#ifdef BUG_NO_LOOK
        waited = true; asleep = true;
#else
        atomic {
            asleep = (n_box + n_sorted == 0);
#ifndef BUG_NO_FLAG
            waited = asleep
#endif
        }
#endif
        if
        :: asleep -> atomic { token -> token = false }
        :: else
        fi;
        waited = false;
        dispatch(0);
        found = count
    :: else -> break
    od
}

active proctype owner()
{
    byte count, item, found, spurious = 0;
    bool was_readable, raise, asleep, last;
    do
    :: atomic { fd > 0 } dispatch(1)
    :: atomic { fd > 0 } dispatch(0)
    :: atomic { spurious == 0 -> spurious++ } dispatch(1) /* nobody said so */
#ifdef WAIT
    :: main_wait()
#endif
#ifdef QUIET
    :: atomic { spurious == 0 -> spurious++ } quiet_turn()
    :: atomic { fd > 0 } quiet_turn()
#endif
#ifdef SHUT
    :: break
#else
    :: timeout -> break
#endif
    od;
#ifdef SHUT
    atomic { splice(); closed = true } /* wi_main_shut() */
    do
    :: n_box + n_sorted + n_batch > 0 -> dispatch(0)
    :: n_box + n_sorted + n_batch == 0 -> break
    od;
    close_wake(false);
    timeout;
    assert(fd_closed && writers == 0)
#endif
    assert(delivered + refused == ITEMS && n_box + n_sorted == 0 && n_batch == 0);
    assert(fd_closed || (fd == 0 && owed == 0 && !waited))
}

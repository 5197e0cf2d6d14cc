/* SPDX-License-Identifier: ISC
 *
 * flight.pml: one job of a client between its run, its publishing, the confirm, the reply, a
 * timeout, a cancel, a close, and connections that are lost and made again
 * (remote/csrc/run.c, client_io.c, flight.c, close.c). A step is what happens under one hold
 * of the farm's lock, or what one peer does. What a connection carries is lost with it.
 */
//! ok    reconnects           -DLOSSES=2
//! ok    reconnect-timeout    -DLOSSES=1 -DTIMEOUT
//! ok    reconnect-cancel     -DLOSSES=1 -DCANCEL
//! ok    reconnect-close      -DLOSSES=1 -DCLOSE
//! ok    all-settle           -DLOSSES=0 -DTIMEOUT -DCANCEL -DCLOSE
//! ok    workers-die          -DLOSSES=1 -DDEATHS=2
//! ok    reply-queue-lost     -DLOSSES=1 -DCRASH
//! found not-published-again  -DLOSSES=1 -DBUG_STAYS_SENT : assertion violated (settles==accepted)
//! found confirmed-again      -DLOSSES=1 -DBUG_ALL_AGAIN : assertion violated (published<=
//! found acked-before-taken   -DLOSSES=1 -DBUG_ACK_EARLY : assertion violated (settles==accepted)
//! found answer-settles-twice -DLOSSES=0 -DTIMEOUT -DBUG_TWICE : assertion violated (settles<=1)
//! found cancel-too-early     -DLOSSES=0 -DCANCEL -DBUG_CANCEL_RESERVED : assertion violated expected
//! ok    nobody-works         -DLOSSES=1 -DCLOSE -DNO_WORKER
//! found close-unseen         -DLOSSES=0 -DCLOSE -DNO_WORKER -DBUG_CLOSE_UNSEEN : assertion violated (settles==accepted)
//! found settled-stays-listed -DLOSSES=1 -DTIMEOUT -DBUG_LISTED : assertion violated (settles<=1)
//! found freed-in-publish     -DLOSSES=0 -DTIMEOUT -DBUG_NO_REF : assertion violated (refs>0)
//! found queue-lost-unseen    -DLOSSES=0 -DCRASH -DBUG_QUEUE_UNSEEN : assertion violated (settles==accepted)

#ifndef DEATHS
#define DEATHS 0
#endif

mtype = { NEW, RESERVED, WAITING, SENT, CONFIRMED, SETTLED };

mtype state = NEW;
bool on_waiting, on_sent; /* of the farm's lists */
bool closing, expected, posted, up, lost_seen = true;
byte refs = 1, accepted = 0, settles = 0, dones = 0, published = 0, again = 0;

/* The wire. */
bool out_job, out_ack, in_confirm, in_reply, owes_ack;
/* The server: copies of the job, replies that wait, and one that the client has not acked. */
byte queued = 0, replies = 0;
bool unacked, has_queue = true; /* the reply queue */

inline settle_locked(mine)
{
#ifndef BUG_TWICE
    if
    :: state == SETTLED -> mine = false
    :: else ->
#endif
        state = SETTLED; settles++; mine = true;
        assert(settles <= 1);
#ifdef BUG_LISTED
        on_waiting = false
#else
        on_waiting = false; on_sent = false
#endif
#ifndef BUG_TWICE
    fi
#endif
}

/* After the unlock. */
inline pay(mine)
{
    if
    :: mine -> assert(expected); posted = true
    :: else
    fi
}

active proctype runs()
{
    bool mine = false, taken = false;
    atomic { if :: !closing -> state = RESERVED; taken = true; accepted++ :: else fi }
    if
    :: taken ->
        expected = true;
        atomic {
            if
#ifdef BUG_CANCEL_RESERVED
            :: state == SETTLED -> skip
#endif
            :: state == RESERVED ->
                state = WAITING; on_waiting = true;
#ifndef BUG_CLOSE_UNSEEN
                if :: closing -> settle_locked(mine) :: else fi
#endif
            fi
        }
        pay(mine)
    :: else -> refs--
    fi
}

active proctype main_loop()
{
    do
    :: atomic { posted -> posted = false; dones++; assert(dones <= 1) }
       atomic { assert(refs > 0); refs-- }
    :: atomic { timeout ->
           assert(settles == accepted); assert(dones == accepted); assert(refs == 0);
           break }
    od
}

active proctype io()
{
    bool mine;
end_turn:
    do
    :: atomic { up && lost_seen && on_waiting ->
           assert(state != SETTLED);
           on_waiting = false; on_sent = true; state = SENT;
#ifndef BUG_NO_REF
           refs++
#endif
       }
       atomic { assert(refs > 0); /* it reads the bytes */
           if
           :: up && lost_seen -> out_job = true; published++; assert(published <= 1 + again)
           :: else
           fi }
#ifndef BUG_NO_REF
       atomic { assert(refs > 0); refs-- }
#endif
    :: atomic { up && lost_seen && in_confirm ->
           in_confirm = false;
           if
           :: on_sent -> on_sent = false; state = CONFIRMED
           :: else
           fi }
    :: atomic { up && lost_seen && in_reply -> in_reply = false; owes_ack = true; mine = false }
#ifdef BUG_ACK_EARLY
       atomic { out_ack = up && lost_seen; owes_ack = false }
       if
       :: !up || !lost_seen -> goto lost
       :: else
       fi;
#endif
       atomic { settle_locked(mine) }
       pay(mine)
#ifndef BUG_ACK_EARLY
    :: atomic { up && lost_seen && owes_ack -> owes_ack = false; out_ack = true }
#endif
    :: atomic { !lost_seen ->
#ifdef BUG_ACK_EARLY
lost:
#endif
           lost_seen = true; owes_ack = false;
           if
#ifndef BUG_STAYS_SENT
           :: on_sent -> assert(state != SETTLED);
                         on_sent = false; on_waiting = true; state = WAITING; again++
#endif
#ifdef BUG_ALL_AGAIN
           :: state == CONFIRMED -> on_waiting = true; state = WAITING
#endif
           :: else
           fi }
    :: atomic { !up && lost_seen && state != SETTLED && state != NEW && state != RESERVED ->
#ifndef BUG_QUEUE_UNSEEN
           if
           :: !has_queue && state == CONFIRMED -> state = WAITING; on_waiting = true; again++
           :: else
           fi;
#endif
           has_queue = true; up = true }
    od
}

inline cut()
{
    up = false; lost_seen = false;
    out_job = false; out_ack = false; in_confirm = false; in_reply = false;
    if :: unacked -> unacked = false; replies++ :: else fi
}

active proctype network()
{
    byte i = 0;
end_network:
    do
    :: atomic { i < LOSSES && up && lost_seen -> cut(); i++ }
    od
}

#ifdef CRASH /* a server that is killed before it has written down the reply queue */
active proctype crash()
{
end_crash:
    atomic { up && lost_seen && state == CONFIRMED ->
        cut(); has_queue = false; replies = 0 }
}
#endif

active proctype server()
{
end_server:
    do
    :: atomic { out_job -> out_job = false; queued++; in_confirm = true }
    :: atomic { up && replies > 0 && !unacked && !in_reply ->
           replies--; unacked = true; in_reply = true }
    :: atomic { out_ack -> out_ack = false; unacked = false }
    od
}

#ifndef NO_WORKER
active proctype worker()
{
    byte deaths = 0;
end_worker:
    do
    :: atomic { queued > 0 -> queued-- }
       if
       :: atomic { deaths < DEATHS -> deaths++; queued++ }
       :: atomic { if :: has_queue -> replies++ :: else fi }
          if
          :: atomic { deaths < DEATHS -> deaths++; queued++ } /* before its ack */
          :: skip
          fi
       fi
    od
}
#endif

#ifdef TIMEOUT
active proctype clock()
{
    bool mine = false;
end_clock:
    atomic { state == WAITING || state == SENT || state == CONFIRMED -> settle_locked(mine) }
    pay(mine)
}
#endif

#ifdef CANCEL
active proctype cancels()
{
    bool mine = false;
end_cancel:
#ifdef BUG_CANCEL_RESERVED
    atomic { state != NEW -> settle_locked(mine) }
#else
    atomic { state != NEW && state != RESERVED -> settle_locked(mine) }
#endif
    pay(mine)
}
#endif

#ifdef CLOSE
active proctype closes()
{
    bool mine = false;
    atomic {
        closing = true;
        if
        :: state == WAITING || state == SENT || state == CONFIRMED -> settle_locked(mine)
        :: else
        fi
    }
    pay(mine)
}
#endif

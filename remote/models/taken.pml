/* SPDX-License-Identifier: ISC
 *
 * taken.pml: two jobs at a worker, from their deliveries to their acks, while each of its two
 * connections is lost and made again (remote/csrc/taker.c, taken.c, answerer.c). The number
 * of a delivery is good for one connection. What a connection carries is lost with it. A step
 * is what happens under one hold of a wire's lock: a worker of the pool publishes a reply, or
 * leaves it to the answerer; the answerer acknowledges a job, or leaves it to the taker. With
 * CLOSES the farm closes at some moment: what no handler has begun is given back.
 */
//! ok    both-stay            -DTAKER_LOSSES=0 -DANSWERER_LOSSES=0
//! ok    taker-lost           -DTAKER_LOSSES=2 -DANSWERER_LOSSES=0
//! ok    answerer-lost        -DTAKER_LOSSES=0 -DANSWERER_LOSSES=2
//! ok    both-lost            -DTAKER_LOSSES=1 -DANSWERER_LOSSES=1
//! ok    closes               -DTAKER_LOSSES=0 -DANSWERER_LOSSES=0 -DCLOSES
//! ok    closes-taker-lost    -DTAKER_LOSSES=1 -DANSWERER_LOSSES=0 -DCLOSES
//! found gives-back-first     -DTAKER_LOSSES=0 -DANSWERER_LOSSES=0 -DCLOSES -DBUG_GIVES_BACK_FIRST : assertion violated !(back[
//! found ack-before-confirm   -DTAKER_LOSSES=0 -DANSWERER_LOSSES=1 -DBUG_ACK_EARLY : assertion violated (answered[
//! found tag-of-another       -DTAKER_LOSSES=1 -DANSWERER_LOSSES=0 -DBUG_NO_GENERATION : assertion violated (answered[
//! found unconfirmed-dropped  -DTAKER_LOSSES=0 -DANSWERER_LOSSES=1 -DBUG_DROPPED : assertion violated ((
//! found old-confirm-taken    -DTAKER_LOSSES=0 -DANSWERER_LOSSES=1 -DBUG_OLD_CONFIRM : assertion violated (answered[

#define JOBS 2
#define TAKEN 6 /* deliveries in all: each loss of the taker gives both jobs back */

mtype = { FREE, RUNS, READY, UNCONFIRMED, CONFIRMED, BACK, OVER };

/* The server: each job waits, is delivered, or is acknowledged and forgotten. */
bool waits[JOBS] = true, gone[JOBS];
byte answered[JOBS];
byte job_of[JOBS + 1], next_tag = 1; /* of the taker's present connection */
bool taker_up, taker_seen = true, answerer_up, answerer_seen = true;
byte generation = 0;

/* The worker. */
mtype at[TAKEN] = FREE;
byte n_taken = 0, n_over = 0;
byte job[TAKEN], tag[TAKEN], of_generation[TAKEN];
bool out[TAKEN], confirm[TAKEN]; /* on the answerer's wire */
bool closes, stopped;            /* stopped: this worker consumes no more */
bool back[JOBS];                 /* given back since the farm closes */

inline take(j)
{
    job[n_taken] = j; tag[n_taken] = next_tag - 1; of_generation[n_taken] = generation;
    at[n_taken] = RUNS;
    n_taken++
}

/* One that closes stops to consume first. */
inline return_job(j)
{
#ifndef BUG_GIVES_BACK_FIRST
    stopped = true;
#endif
    waits[j] = true; back[j] = true
}

inline deliver(j)
{
    assert(!back[j]);
    assert(n_taken < TAKEN && next_tag <= JOBS);
    waits[j] = false;
    job_of[next_tag] = j;
    next_tag++;
    if
    :: closes -> return_job(j)
    :: else -> take(j)
    fi
}

inline give_back(i)
{
    at[i] = OVER; n_over++;
    if
    :: taker_up && of_generation[i] == generation -> return_job(job[i])
    :: else
    fi
}

inline ack(t)
{
    if
    :: t < next_tag && !gone[job_of[t]] -> assert(answered[job_of[t]] > 0); gone[job_of[t]] = true
    :: else
    fi
}

/* An ack on a connection that is lost and not yet seen to be is lost with it. */
inline end(i)
{
    at[i] = OVER; n_over++;
    if
#ifdef BUG_NO_GENERATION
    :: taker_up -> ack(tag[i])
#else
    :: taker_up && of_generation[i] == generation -> ack(tag[i])
#endif
    :: else
    fi
}

active proctype taker()
{
end_turn:
    do
    :: atomic { taker_up && taker_seen && !stopped && waits[0] -> deliver(0) }
    :: atomic { taker_up && taker_seen && !stopped && waits[1] -> deliver(1) }
    :: atomic { taker_seen && at[0] == CONFIRMED -> end(0) }
    :: atomic { taker_seen && at[1] == CONFIRMED -> end(1) }
    :: atomic { taker_seen && at[2] == CONFIRMED -> end(2) }
    :: atomic { taker_seen && at[3] == CONFIRMED -> end(3) }
    :: atomic { taker_seen && at[4] == CONFIRMED -> end(4) }
    :: atomic { taker_seen && at[5] == CONFIRMED -> end(5) }
    :: atomic { taker_seen && at[0] == BACK -> give_back(0) }
    :: atomic { taker_seen && at[1] == BACK -> give_back(1) }
    :: atomic { taker_seen && at[2] == BACK -> give_back(2) }
    :: atomic { taker_seen && at[3] == BACK -> give_back(3) }
    :: atomic { closes && !stopped -> stopped = true }
    :: atomic { !taker_up -> taker_seen = true; generation++; next_tag = 1;
           stopped = closes; taker_up = true }
    od
}

#define can(i) (at[i] == READY && answerer_up && answerer_seen)

inline answer(i)
{
    if
    :: at[i] == READY && answerer_seen ->
#ifdef BUG_ACK_EARLY
        at[i] = CONFIRMED;
#else
        at[i] = UNCONFIRMED;
#endif
        out[i] = true
    :: at[i] == UNCONFIRMED && confirm[i] -> confirm[i] = false; at[i] = CONFIRMED
    :: else
    fi
}

active proctype pool()
{
end_pool:
    do
    :: atomic { at[0] == RUNS -> at[0] = READY }
    :: atomic { at[1] == RUNS -> at[1] = READY }
    :: atomic { at[2] == RUNS -> at[2] = READY }
    :: atomic { at[3] == RUNS -> at[3] = READY }
    :: atomic { at[4] == RUNS -> at[4] = READY }
    :: atomic { at[5] == RUNS -> at[5] = READY }
    :: atomic { closes && at[0] == RUNS -> at[0] = BACK }
    :: atomic { closes && at[1] == RUNS -> at[1] = BACK }
    :: atomic { closes && at[2] == RUNS -> at[2] = BACK }
    :: atomic { closes && at[3] == RUNS -> at[3] = BACK }
    :: atomic { can(0) -> answer(0) }
    :: atomic { can(1) -> answer(1) }
    :: atomic { can(2) -> answer(2) }
    :: atomic { can(3) -> answer(3) }
    :: atomic { can(4) -> answer(4) }
    :: atomic { can(5) -> answer(5) }
    od
}

inline again(i)
{
    if
#ifdef BUG_DROPPED
    :: at[i] == UNCONFIRMED -> at[i] = FREE
#else
    :: at[i] == UNCONFIRMED -> at[i] = READY
#endif
    :: else
    fi
}

#define has(i) ((at[i] == READY && answerer_seen) || (at[i] == UNCONFIRMED && confirm[i]))

active proctype answerer()
{
end_turn:
    do
    :: atomic { answerer_up && answerer_seen && has(0) -> answer(0) }
    :: atomic { answerer_up && answerer_seen && has(1) -> answer(1) }
    :: atomic { answerer_up && answerer_seen && has(2) -> answer(2) }
    :: atomic { answerer_up && answerer_seen && has(3) -> answer(3) }
    :: atomic { answerer_up && answerer_seen && has(4) -> answer(4) }
    :: atomic { answerer_up && answerer_seen && has(5) -> answer(5) }
    :: atomic { at[0] == CONFIRMED -> end(0) }
    :: atomic { at[1] == CONFIRMED -> end(1) }
    :: atomic { at[2] == CONFIRMED -> end(2) }
    :: atomic { at[3] == CONFIRMED -> end(3) }
    :: atomic { at[4] == CONFIRMED -> end(4) }
    :: atomic { at[5] == CONFIRMED -> end(5) }
    :: atomic { !answerer_up ->
           again(0); again(1); again(2); again(3); again(4); again(5);
           answerer_seen = true; answerer_up = true }
    od
}

inline arrive(i)
{
    out[i] = false; answered[job[i]] = 1; confirm[i] = true
}

inline forget(i)
{
#ifdef BUG_OLD_CONFIRM /* the confirm of the lost connection is taken for that of the next */
    confirm[i] = confirm[i] || out[i];
#else
    confirm[i] = false;
#endif
    out[i] = false
}

active proctype server()
{
    byte taker_losses = 0, answerer_losses = 0;
end_server:
    do
    :: atomic { out[0] -> arrive(0) }
    :: atomic { out[1] -> arrive(1) }
    :: atomic { out[2] -> arrive(2) }
    :: atomic { out[3] -> arrive(3) }
    :: atomic { out[4] -> arrive(4) }
    :: atomic { out[5] -> arrive(5) }
    :: atomic { taker_up && taker_losses < TAKER_LOSSES ->
           taker_losses++; taker_up = false; taker_seen = false;
           waits[0] = !gone[0]; waits[1] = !gone[1] }
    :: atomic { answerer_up && answerer_losses < ANSWERER_LOSSES ->
           answerer_losses++; answerer_up = false; answerer_seen = false;
           forget(0); forget(1); forget(2); forget(3); forget(4); forget(5) }
    od
}

#ifdef CLOSES
active proctype closer() { closes = true }
#endif

/* A worker that closed leaves the others what it has not run. */
active proctype ends()
{
    timeout -> assert(((gone[0] || closes && waits[0]) && (gone[1] || closes && waits[1]) &&
                       n_over == n_taken))
}

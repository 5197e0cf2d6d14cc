# SPDX-License-Identifier: ISC
#
# weir-gdb.py: what weir's pools do, for gdb: in a live process or in a core dump.
#
#   (gdb) source weir-gdb.py
#   (gdb) weir            everything below
#   (gdb) weir pools      each pool and its threads
#   (gdb) weir tasks      each task that is queued, running, parked or settled
#   (gdb) weir mains      each main, what waits for it, its run_in_main calls
#   (gdb) weir waits      which thread waits inside weir, for what, and who waits in a circle
#
# It only reads memory, so it works on a core dump, and takes no lock, so that in a live process
# a list may be caught in the middle of a change. It needs the debugging information of the core
# (gcc -g). A process may contain several copies of the core, such as a library's and a Lua
# module's: each is shown.
import contextlib
import time

import gdb

LIMIT = 10000  # elements of a list that are read: memory may be damaged
LEVELS = ("normal", "high", "low")
STATES = ("idle", "queued", "running", "parked", "settled", "claimed", "offered")
LIVES = ("opening", "open", "draining", "closing", "closed")
CALLS = ("posted", "begun", "ended")
CANCEL, ABANDONED = 1, 8


# ---- memory ---------------------------------------------------------------------------


def plain(value):
    """The integer in value, which may be an _Atomic."""
    return int(value.cast(gdb.lookup_type("unsigned long")))


def offset(kind, path):
    """Of a member such as "weir.link" in a struct of that type."""
    total, kind = 0, kind.strip_typedefs()
    for name in path.split("."):
        field = next(f for f in kind.fields() if f.name == name)
        total, kind = total + field.bitpos // 8, field.type.strip_typedefs()
    return total


def at(address, kind):
    return gdb.Value(address).cast(gdb.lookup_type(kind).pointer()).dereference()


def elements(ring, kind, path):
    """The structs that stand in a wi_list by their member path."""
    away = offset(gdb.lookup_type(kind), path)
    end, link = int(ring["head"].address), ring["head"]["next"]
    for _ in range(LIMIT):
        if int(link) in (0, end):
            return
        yield at(int(link) - away, kind)
        link = link["next"]
    print("  (a list of more than %d elements is cut off here)" % LIMIT)


def stacked(stack, kind, path):
    """The structs of a wi_stack, oldest first."""
    away, found = offset(gdb.lookup_type(kind), path), []
    link = at(plain(stack["newest"]), "weir_link").address
    while int(link) > 1 and len(found) < LIMIT:
        found.append(at(int(link) - away, kind))
        link = link["next"]
    return reversed(found)


def symbol_of(pointer):
    """The function's name, or its address."""
    block = gdb.block_for_pc(int(pointer))
    while block and not block.function:
        block = block.superblock
    return block.function.name if block else hex(int(pointer))


def text(pointer):
    return pointer.string(errors="replace") if int(pointer) else ""


def since(moment):
    """How long ago that was; nothing for a core dump, because nobody knows when it was made."""
    connection = gdb.selected_inferior().connection
    if not moment or not connection or connection.type != "native":
        return ""
    return "for %.1f s" % max(0, time.clock_gettime(time.CLOCK_MONOTONIC) - moment / 1e9)


# ---- one copy of the core -----------------------------------------------------------------


class Core:
    """What one copy of the core knows, read at once."""

    def __init__(self, registry):
        self.objfile = registry.symtab.objfile
        self.threads = list(self.read_threads())
        the = registry.value()
        self.pools = [Pool(p, self) for p in elements(the["pools"], "weir_pool", "registered")]
        self.mains = [Main(m, self) for m in elements(the["mains"], "weir_main", "registered")]
        self.name_workers()
        self.waits = [w for room in self.pools + self.mains for w in room.waits()]

    def local(self, name, kind):
        """A variable of the selected thread, as a number; 0 if it has none. A binding in the same
        file may have one of that name, of another type."""
        for symbol in gdb.lookup_static_symbols(name) + [gdb.lookup_global_symbol(name)]:
            if symbol and symbol.symtab.objfile == self.objfile and str(symbol.type) == kind:
                try:
                    return int(symbol.value())
                except gdb.error:
                    return 0
        return 0

    def read_threads(self):
        before = gdb.selected_thread()
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            yield Thread(thread, self.local("self", "weir_worker *"), self.local("wi_the_thread", "wi_thread *"))
        if before:
            before.switch()

    def name_workers(self):
        """A core dump does not have the names of threads."""
        for pool in self.pools:
            for worker in pool.workers:
                if worker.thread and not worker.thread.name:
                    worker.thread.name = "%s/%d" % (pool.name, worker.index)

    def thread_of_worker(self, worker):
        return next((t for t in self.threads if t.worker == int(worker)), None)

    def thread_of_owner(self, owner):
        return next((t for t in self.threads if t.owner == int(owner)), None)

    def thread_of_stack(self, address):
        """The thread that has address on its stack: that of the nearest stack pointer below."""
        below = [t for t in self.threads if t.stack <= address]
        return max(below, key=lambda t: t.stack, default=None)

    def task(self, address):
        """The task there, if a pool has it."""
        for pool in self.pools:
            for task in pool.tasks:
                if task.address == address:
                    return task
        return None


class Thread:
    def __init__(self, thread, worker, owner):
        self.number, self.name = thread.num, thread.name
        self.worker, self.owner = worker, owner
        self.stack = int(gdb.newest_frame().read_register("sp"))

    def __str__(self):
        return "thread %d (%s)" % (self.number, self.name) if self.name else "thread %d" % self.number


class Task:
    def __init__(self, value, pool):
        word = value["weir"]
        self.address, self.pool = int(value.address), pool
        self.state, self.flags = int(word["state"]), int(word["flags"])
        self.level = LEVELS[int(word["priority"]) % 3]
        self.worker, self.outcome = int(word["worker"]), int(word["outcome"])
        self.run = symbol_of(value["run"])
        self.label, self.since = text(word["label"]), int(word["since"])

    def __str__(self):
        return "task 0x%x (%s)" % (self.address, "'%s'" % self.label if self.label else self.run)

    def is_running(self):
        return self.state == 2

    def thread(self):
        return self.pool.core.thread_of_worker(self.worker) if self.is_running() and self.worker else None

    def line(self):
        state = STATES[self.state] if self.state < len(STATES) else "?"
        more = []
        if since(self.since):
            more.append(since(self.since))
        if self.is_running():
            more.append("on %s" % (self.thread() or "the thread that submitted it"))
        if self.state == 4:
            more.append("outcome %d" % self.outcome)
        if self.level != "normal":
            more.append("level %s" % self.level)
        if self.flags & CANCEL:
            more.append("asked to stop")
        return "%-8s %s%s" % (state, self, ": " + ", ".join(more) if more else "")


class Wait:
    """One thread waits inside weir. blockers: the threads of which one must act, or None if any
    other event may end the wait."""

    def __init__(self, thread, what, blockers):
        self.thread, self.what, self.blockers = thread, what, blockers

    def __str__(self):
        return "%s waits for %s" % (self.thread or "an unknown thread", self.what)


class Pool:
    def __init__(self, value, core):
        self.value, self.core = value, core
        self.name, self.life = text(value["name"]), int(value["state"])
        self.workers = [Worker(w, core) for w in elements(value["workers"], "weir_worker", "of_workers")]
        self.tasks = [Task(t, self) for t in self.read_tasks()]

    def read_tasks(self):
        value = self.value
        for worker in elements(value["workers"], "weir_worker", "of_workers"):
            if int(worker["runs"]):
                yield worker["runs"].dereference()
        yield from elements(value["visits"], "weir_task", "weir.link")
        for level in (1, 0, 2):
            yield from elements(value["queue"]["level"][level], "weir_task", "weir.link")
            if level == 0:
                yield from stacked(value["queue"]["inbox"], "weir_task", "weir.link")
        for where in ("parked", "outbox", "settled"):
            yield from elements(value[where], "weir_task", "weir.link")

    def __str__(self):
        return "pool '%s'" % self.name

    def count(self, *states):
        return sum(1 for t in self.tasks if t.state in states)

    def head(self):
        value, opts = self.value, self.value["opts"]
        most = max(int(opts["threads"]), int(opts["threads_max"]))
        paused = ", paused" if value["paused"] else ""
        limit = " of %d" % int(opts["queue_limit"]) if int(opts["queue_limit"]) else ""
        return "%s (weir_pool *)0x%x: %s%s, %d of %d threads; %d running, %d%s queued, %d parked" % (
            self, int(value.address), LIVES[self.life], paused, int(value["serving"]), most,
            self.count(2), self.count(1, 6), limit, self.count(3))

    def threads(self):
        return [w.thread for w in self.workers if w.thread]

    def waits(self):
        value = self.value
        for waiter in elements(value["task_waiters"], "wi_waiter", "link"):
            task = self.core.task(int(waiter["what"]))
            yield Wait(self.who(waiter), self.awaited(task, waiter), self.blockers(task))
        for waiter in elements(value["space_waiters"], "wi_waiter", "link"):
            yield Wait(self.who(waiter), "space in the queue of %s" % self, self.threads())
        for waiter in elements(value["waiters"], "wi_waiter", "link"):
            end = "the end" if self.life > 1 else "the start"
            yield Wait(self.who(waiter), "%s of %s" % (end, self), self.threads() or None)

    def who(self, waiter):
        return self.core.thread_of_stack(int(waiter.address))

    def awaited(self, task, waiter):
        if not task:
            return "task 0x%x" % int(waiter["what"])
        if task.thread():
            return "%s, which %s runs" % (task, task.thread())
        state = STATES[task.state] if task.state < len(STATES) else "?"
        return "%s, which is %s in %s" % (task, state, task.pool)

    def blockers(self, task):
        if task and task.thread():
            return [task.thread()]
        return self.threads() if task and task.state in (1, 6) else None


class Worker:
    def __init__(self, value, core):
        self.index, self.blocked = int(value["index"]), int(value["blocked"])
        self.thread = core.thread_of_worker(value.address)
        self.task, self.idle = int(value["task"]), int(value["of_idle"]["next"]) != 0

    def line(self, core):
        task = core.task(self.task)
        does = "runs %s" % task if task else "is idle" if self.idle else "is between two tasks"
        return "%d  %s %s%s" % (self.index, self.thread or "a thread", does,
                                ", inside a blocking section" if self.blocked else "")


class Main:
    def __init__(self, value, core):
        self.value, self.core = value, core
        self.owner = core.thread_of_owner(value["owner"])
        self.begun = list(elements(value["begun"], "weir_call", "in.link"))
        self.callers = list(elements(value["callers"], "wi_waiter", "link"))

    def __str__(self):
        return "main 0x%x" % int(self.value.address)

    def pending(self):
        return ((plain(self.value["refs"]) & 0xFFFFFFFF) + plain(self.value["own"])) & 0xFFFFFFFF

    def undelivered(self):
        waits = sum(1 for _ in stacked(self.value["arrivals"], "weir_link", "next"))
        boxes = [self.value[place][box] for place in ("sorted", "batch") for box in ("now", "later", "lends")]
        return waits + sum(1 for box in boxes for _ in elements(box, "weir_link", "next"))

    def turns(self):
        value = self.value
        if value["waited"]:
            return "its thread waits in weir_main_wait"
        return "its thread dispatches" if int(value["depth"]) else "its thread is outside weir_main_dispatch"

    def head(self):
        return "%s of %s: %d pending, %d of them here and not delivered; %s" % (
            self, self.owner or "an unknown thread", self.pending(), self.undelivered(), self.turns())

    def calls(self):
        """Each run_in_main call: (call, thread that waits for it or None)."""
        found = {int(c.address): (c, None) for c in self.begun}
        for waiter in self.callers:
            call = at(int(waiter["what"]), "weir_call")
            found[int(waiter["what"])] = (call, self.core.thread_of_stack(int(waiter.address)))
        return found.values()

    def say(self, call):
        state = CALLS[int(call["state"])]
        returned = ", its function has returned and nobody has finished it" if call["returned"] else ""
        return "run_in_main(%s), %s%s" % (symbol_of(call["fn"]), state, returned)

    def owner_waits(self):
        return any(w for pool in self.core.pools for w in pool.waits() if w.thread is self.owner)

    def waits(self):
        for call, thread in self.calls():
            if thread:
                on_stack = int(call["state"]) == 1 or not self.owner_waits()
                yield Wait(thread, "%s by %s" % (self.say(call), self.owner), [self.owner] if on_stack else None)


# ---- who waits in a circle ----------------------------------------------------------------


def circle(waits):
    """The threads of which none can go on: each waits for others of them alone."""
    stuck = {w.thread.number: w.blockers for w in waits if w.thread and w.blockers}
    while True:
        free = [n for n, blockers in stuck.items() if any(b.number not in stuck for b in blockers if b)]
        if not free:
            return sorted(stuck)
        for number in free:
            del stuck[number]


# ---- the commands -------------------------------------------------------------------------


def cores():
    registries = [s for s in gdb.lookup_static_symbols("the") if str(s.type.strip_typedefs()) == "struct wi_registry"]
    if not registries:
        raise gdb.GdbError("no weir here: the program contains none, or was built without -g")
    return [Core(r) for r in registries]


def show_pools(core):
    for pool in core.pools:
        print(pool.head())
        for worker in pool.workers:
            print("  " + worker.line(core))


def show_tasks(core):
    for pool in core.pools:
        for task in pool.tasks:
            print("%s: %s" % (pool, task.line()))


def show_mains(core):
    for main in core.mains:
        print(main.head())
        for call, thread in main.calls():
            print("  %s%s" % (main.say(call), ", for %s" % thread if thread else ""))


def show_waits(core):
    for wait in core.waits:
        print(wait)
    numbers = circle(core.waits)
    if numbers:
        print("no way out, unless a wait has a limit: threads %s wait for each other" % ", ".join(map(str, numbers)))


@contextlib.contextmanager
def c_language():
    """A thread that sleeps in a system call stands in assembler, where gdb names no struct."""
    before = gdb.parameter("language")
    gdb.execute("set language c", to_string=True)
    try:
        yield
    finally:
        gdb.execute("set language " + before, to_string=True)


class Command(gdb.Command):
    """Shows what weir does in this process. Without an argument: pools, tasks, mains and waits."""

    def __init__(self, name, *shows, prefix=False):
        super().__init__(name, gdb.COMMAND_STATUS, prefix=prefix)
        self.shows = shows

    def invoke(self, argument, from_tty):
        if argument:
            raise gdb.GdbError("weir: '%s' is none of pools, tasks, mains, waits" % argument)
        with c_language():
            for core in cores():
                for show in self.shows:
                    show(core)


Command("weir", show_pools, show_tasks, show_mains, show_waits, prefix=True)
Command("weir pools", show_pools)
Command("weir tasks", show_tasks)
Command("weir mains", show_mains)
Command("weir waits", show_waits)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disturb everything at once for a while, and see that nothing worse comes of it.

    chaos.py SECONDS SEED MODE-FILE VOLUME=DEVICE... BLOB...

Fifty openers and a writer to each volume work, see chaos_work.py, while daemon
and workers are killed, the vault hangs and goes, KEKs are revoked, the module is
to be unloaded, memory runs low and the clock jumps; the seed says in which order.
The library of the vault has the mode that MODE-FILE says, see bad_pkcs11.c.

Prints NAME=VALUE of what was counted, behind what there is to say in lines that
begin with "#".  At the end of each quarter everybody rests, and the kernel's
memory is noted; the last one spares the daemon, so that its own can be.
"""

import glob
import os
import random
import signal
import subprocess
import sys
import time

from chaos_work import BOUND, GOOD, OTHER, REFUSED, SINCE, SLOW, \
    WRONG, Opener, Slots, Writer, note

OPENERS, QUARTERS = 50, 4
TOKENS = "/var/lib/softhsm/tokens"
AWAY = TOKENS + ".away"
KEKS = ["chaos0", "chaos1", "chaos2"]
WORKER = "/usr/libexec/vaultring/vault-"
# A leak must grow by this much in each quarter to be told from noise, in KiB.
LEAK_CACHE, LEAK_ALL, LEAK_DAEMON = 256, 2048, 1024


class Disturber:
    """Does one thing after the other, in an order that the seed gives."""

    def __init__(self, seed, mode_file):
        self.random, self.mode_file = random.Random(seed), mode_file
        self.done, self.slow, self.spares_daemon = {}, 0, False
        self.offset = time.time() - time.monotonic()
        # How often, of all of them; at first each once.
        self.deeds = {self.kill_daemon: 3, self.kill_worker: 4,
                      self.outage: 5, self.take_token: 3, self.revoke: 8,
                      self.unseal: 6, self.reseal: 3, self.reload: 3,
                      self.pressure: 3, self.jump: 4, self.ask: 4}
        self.next = list(self.deeds)
        self.random.shuffle(self.next)

    def run(self, *words):
        """A command that may fail but must end."""
        try:
            return subprocess.run(words, timeout=BOUND + 30 * SLOW, check=False,
                                  stdin=subprocess.DEVNULL,
                                  capture_output=True).returncode
        except subprocess.TimeoutExpired:
            note(f"takes too long: {' '.join(words)}")
            self.slow += 1
            return -1

    def nap(self, least, most):
        time.sleep(self.random.uniform(least, most))

    def start_daemon(self):
        self.run("systemctl", "reset-failed", "vaultringd")
        self.run("systemctl", "start", "vaultringd")

    def kill_daemon(self):
        if not self.spares_daemon:
            pid = daemon_pid()
            if pid:
                kill(pid)
        self.nap(0, 2)
        self.start_daemon()

    def kill_worker(self):
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    if file.read().startswith(WORKER.encode()):
                        kill(int(path.split("/")[2]))
            except (FileNotFoundError, ProcessLookupError):
                pass

    def set_mode(self, mode):
        with open(self.mode_file + ".new", "w", encoding="ascii") as file:
            file.write(mode + "\n")
        os.chmod(self.mode_file + ".new", 0o644)
        os.rename(self.mode_file + ".new", self.mode_file)
        # It is read when the library is opened.
        self.kill_worker()

    def outage(self):
        self.set_mode(self.random.choice(["hang", "gone", "error", "crash",
                                          "hang-init", "exit", "slow-init"]))
        self.nap(1, 8)
        self.set_mode("good")

    def take_token(self):
        move_all(TOKENS, AWAY)
        self.nap(0.5, 4)
        move_all(AWAY, TOKENS)

    def revoke(self):
        self.run("vaultring", "kek", "revoke", self.random.choice(KEKS))

    def unseal(self):
        self.run("vaultring", "kek", "unseal", self.random.choice(KEKS))

    def reseal(self):
        self.run("vaultring", "kek", "reseal", self.random.choice(KEKS))

    def ask(self):
        self.run("vaultring", *self.random.choice(
            [["status"], ["kek", "list"], ["vault", "list"],
             ["vault", "check", "chaos"]]))

    def reload(self):
        """In use it stays; should nobody use it at the moment, it comes back."""
        if self.run("rmmod", "vaultring") == 0:
            note("the module was unloaded")
            self.run("modprobe", "vaultring")
            self.run("systemctl", "reset-failed", "vaultringd")
            if self.spares_daemon:
                self.run("vaultring", "vault", "pin", "--load")
            else:
                self.run("systemctl", "restart", "vaultringd")

    def pressure(self):
        share = self.random.uniform(0.5, 0.8)
        seconds = self.random.uniform(1, 4)
        pid = os.fork()
        if not pid:
            hog(share, seconds)
        os.waitpid(pid, 0)
        write("/proc/sys/vm/drop_caches", "3")

    def jump(self):
        to = self.offset + time.monotonic() + \
            self.random.choice([-1, 1]) * self.random.uniform(60, 3 * 86400)
        time.clock_settime(time.CLOCK_REALTIME, max(to, 86400))
        self.nap(0.5, 3)
        self.set_right()

    def set_right(self):
        time.clock_settime(time.CLOCK_REALTIME,
                           self.offset + time.monotonic())

    def disturb(self):
        if not self.next:
            self.next = self.random.choices(list(self.deeds),
                                            self.deeds.values(), k=50)
        deed = self.next.pop()
        try:
            deed()
        except OSError as error:
            note(f"{deed.__name__}: {error}")
        self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1
        self.nap(0, 1.5)

    def make_good(self):
        self.set_right()
        move_all(AWAY, TOKENS)
        self.set_mode("good")
        self.start_daemon()
        for kek in KEKS:
            self.run("vaultring", "kek", "unseal", kek)


class Watch:
    """Looks at everybody's slot: nobody waits longer than the bound."""

    def __init__(self, slots, pids):
        self.slots, self.pids = slots, pids
        self.hangs, self.told, self.longest = 0, {}, 0.0

    def look(self):
        now = time.monotonic()
        for i in range(self.slots.count):
            since = self.slots.get(i)[SINCE]
            if not since:
                continue
            self.longest = max(self.longest, now - since)
            if now - since > BOUND and self.told.get(i) != since:
                self.told[i] = since
                self.hangs += 1
                note(f"worker {i} hangs:\n# " + "\n# ".join(
                    stack_of(self.pids[i]).splitlines()))

    def all_rest(self):
        deadline = time.monotonic() + 2 * BOUND
        while any(self.slots.get(i)[SINCE] for i in range(self.slots.count)):
            self.look()
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)


def move_all(source, target):
    for path in (source, target):
        os.makedirs(path, exist_ok=True)
    for name in os.listdir(source):
        os.rename(os.path.join(source, name), os.path.join(target, name))


def hog(share, seconds):
    try:
        # Should there be too little after all, it goes first.
        write("/proc/self/oom_score_adj", "1000")
        size = int(meminfo("MemAvailable") * 1024 * share)
        memory = bytearray(size)
        memory[::4096] = b"x" * len(range(0, size, 4096))
        time.sleep(seconds)
    finally:
        os._exit(0)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def stack_of(pid):
    try:
        with open(f"/proc/{pid}/stack", encoding="ascii") as file:
            return file.read()
    except OSError as error:
        return str(error)


def meminfo(name):
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    raise KeyError(name)


def daemon_pid():
    return int(subprocess.run(
        ["systemctl", "show", "-P", "MainPID", "vaultringd"], check=False,
        capture_output=True, text=True).stdout or 0)


def daemon_rss():
    """In KiB, and of which process."""
    pid = daemon_pid()
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return pid, int(line.split()[1])
    except FileNotFoundError:
        pass
    return pid, 0


def kernel_memory():
    """KiB of each slab cache, and of all that is not to be reclaimed."""
    time.sleep(2 * SLOW)
    os.sync()
    write("/proc/sys/vm/drop_caches", "3")
    for path in glob.glob("/sys/kernel/slab/*/shrink"):
        try:
            write(path, "1")
        except OSError:
            pass
    usage = {}
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file.readlines()[2:]:
            name, active, _, size = line.split()[:4]
            usage[name] = int(active) * int(size) >> 10
    usage["all"] = meminfo("SUnreclaim") + meminfo("Percpu") + \
        meminfo("VmallocUsed")
    return usage


def leaks(notes):
    """What has grown in each quarter but the first, and by how much at least."""
    found = {}
    for name in notes[-1]:
        steps = [after.get(name, 0) - before.get(name, 0)
                 for before, after in zip(notes[1:], notes[2:])]
        if min(steps) >= (LEAK_ALL if name == "all" else LEAK_CACHE):
            found[name] = steps
    return found


def start_workers(seed, volumes, blobs):
    slots = Slots(OPENERS + len(volumes))
    slots.order = Slots.REST
    expected = [Opener.encrypt(blob) for blob in blobs]
    workers = [Opener(slots, i, seed, blobs, expected) for i in range(OPENERS)]
    workers += [Writer(slots, OPENERS + i, seed, device, name)
                for i, (name, device) in enumerate(volumes)]
    return slots, [worker.start() for worker in workers]


def end_workers(slots, watch):
    """They check everything once more; how many do not come to their end."""
    slots.order = Slots.END
    deadline, left, bad = time.monotonic() + 3 * BOUND, set(watch.pids), 0
    while left and time.monotonic() < deadline:
        watch.look()
        for pid in sorted(left):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                left.discard(pid)
                bad += status != 0
        time.sleep(0.1)
    for pid in left:
        note(f"{pid} does not end:\n# " +
             "\n# ".join(stack_of(pid).splitlines()))
        kill(pid)
    return bad + len(left)


def disturb_all(seconds, disturber, slots, watch):
    """Returns the kernel's memory at the ends of quarters and the daemon's."""
    notes, rss = [kernel_memory()], []
    for quarter in range(QUARTERS):
        disturber.spares_daemon = quarter == QUARTERS - 1
        if disturber.spares_daemon:
            disturber.make_good()
            rss.append(daemon_rss())
        slots.order = Slots.GO
        end = time.monotonic() + seconds / QUARTERS
        while time.monotonic() < end:
            disturber.disturb()
            watch.look()
        disturber.make_good()
        slots.order = Slots.REST
        watch.all_rest()
        notes.append(kernel_memory())
        good = slots.sums()
        note(f"quarter {quarter + 1}: {good[GOOD]} done, {good[REFUSED]} "
             f"refused; kernel memory {notes[-1]['all']} KiB; "
             f"daemon {daemon_rss()[1]} KiB")
    rss.append(daemon_rss())
    return notes, rss


def rss_growth(rss):
    """In KiB; a daemon that was started anew cannot be judged."""
    (first, before), (last, after) = rss
    if first != last:
        note(f"the daemon was started anew while it was spared: {rss}")
        return LEAK_DAEMON
    return after - before


def main():
    seconds, seed, mode_file = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    volumes = [arg.split("=") for arg in sys.argv[4:] if "=" in arg]
    blobs = []
    for path in (arg for arg in sys.argv[4:] if "=" not in arg):
        with open(path, "rb") as file:
            blobs.append(file.read())
    disturber = Disturber(seed, mode_file)
    slots, pids = start_workers(seed, volumes, blobs)
    watch = Watch(slots, pids)
    notes, rss = disturb_all(seconds, disturber, slots, watch)
    unfinished = end_workers(slots, watch)
    sums = slots.sums()
    found = leaks(notes)
    for name, steps in found.items():
        note(f"{name} grew by {steps} KiB")
    deeds = {deed.__name__: disturber.done.get(deed.__name__, 0)
             for deed in disturber.deeds}
    for name, count in deeds.items():
        print(f"{name}={count}")
    print(f"least_deeds={min(deeds.values())}")
    print(f"done={sums[GOOD]}\nrefused={sums[REFUSED]}\nwrong={sums[WRONG]}\n"
          f"other={sums[OTHER]}\nhangs={watch.hangs + disturber.slow}\n"
          f"longest={watch.longest:.1f}\nunfinished={unfinished}\n"
          f"leaks={len(found)}\ndaemon_growth={rss_growth(rss)}\n"
          f"daemon_rss={max(size for _, size in rss)}")


if __name__ == "__main__":
    main()

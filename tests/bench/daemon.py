#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vaultringd started from here, and watched.

    daemon.py start METRIC ROUNDS PROGRAM [OPTION...]
                    from its start until it says that it is ready, in ms
    daemon.py idle SECONDS PROGRAM [OPTION...]
                    memory, and how often it and its workers wake up
    daemon.py unseals KEK COUNT PROGRAM [OPTION...]
                    how its memory grows while it unseals the KEK so often

The socket is the default one, unless an option says otherwise.
"""

import json
import os
import re
import signal
import socket
import sys
import time

SOCKET = "/run/vaultring/vaultringd.sock"
PATIENCE = 30
SETTLE = 3


def sample(metric, side, value):
    print(f"bench sample {metric} {side} {value}", flush=True)


def fail(text):
    print(f"bench failed {text}", flush=True)
    sys.exit(1)


class Daemon:
    """Runs until stop(); self.took is how long it took to be ready, in ms."""

    def __init__(self, argv):
        name = f"\0bench-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(name)
            notify.settimeout(PATIENCE)
            env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                   "NOTIFY_SOCKET": "@" + name[1:]}
            quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0)
                     for fd in (0, 1, 2)]
            start = time.monotonic()
            self.pid = os.posix_spawn(argv[0], argv, env, file_actions=quiet)
            try:
                while b"READY=1" not in notify.recv(4096):
                    pass
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                fail(f"{argv[0]} is not ready within {PATIENCE} s")
            self.took = (time.monotonic() - start) * 1000

    def status(self, field, pid=None):
        with open(f"/proc/{pid or self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{field}:\s*(\d+)", file.read(), re.M)[1])

    def family(self):
        """The daemon and its workers."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children",
                  encoding="ascii") as file:
            return [self.pid, *map(int, file.read().split())]

    def switches(self):
        """How often each of them has been scheduled: of all its threads."""
        total = {}
        for pid in self.family():
            total[pid] = 0
            for task in os.listdir(f"/proc/{pid}/task"):
                total[pid] += sum(
                    self.status(f"{kind}_ctxt_switches", f"{pid}/task/{task}")
                    for kind in ("voluntary", "nonvoluntary"))
        return total

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if status:
            fail(f"vaultringd ends with status {status}")


def call(method, **parameters):
    """The last reply's parameters."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(SOCKET)
        sock.sendall(json.dumps({"method": "vaultring." + method,
                                 "parameters": parameters}).encode() + b"\0")
        data = b""
        while True:
            while b"\0" in data:
                message, data = data.split(b"\0", 1)
                reply = json.loads(message)
                if "error" in reply:
                    fail(f"{method}: {reply}")
                if not reply.get("continues"):
                    return reply.get("parameters", {})
            chunk = sock.recv(65536)
            if not chunk:
                fail(f"{method}: the daemon hangs up")
            data += chunk


def start(metric, rounds, *argv):
    for _ in range(int(rounds)):
        daemon = Daemon(argv)
        daemon.stop()
        sample(metric, "ms", f"{daemon.took:.3f}")


def idle(seconds, *argv):
    daemon = Daemon(argv)
    # Workers look at their tokens first.
    time.sleep(SETTLE)
    before = daemon.switches()
    time.sleep(float(seconds))
    after = daemon.switches()
    if before.keys() != after.keys():
        fail("workers come and go while nothing happens")
    sample("daemon.rss", "KiB", daemon.status("VmRSS"))
    own = after[daemon.pid] - before[daemon.pid]
    sample("daemon.wakeups", "daemon", own)
    sample("daemon.wakeups", "workers",
           sum(after.values()) - sum(before.values()) - own)
    for pid in daemon.family()[1:]:
        print(f"bench note daemon: a worker has {daemon.status('VmRSS', pid)} KiB")
    daemon.stop()


def unseals(kek, count, *argv):
    """Growth counts from the first tenth on: by then all caches are full."""
    count, daemon = int(count), Daemon(argv)
    rss, began = [], time.monotonic()
    for done in range(1, count + 1):
        call("KekUnseal", name=kek)
        if done % (count // 10) == 0:
            rss.append(daemon.status("VmRSS"))
    took = time.monotonic() - began
    print(f"bench note daemon: {count} unseals within {took:.0f} s, KiB after each"
          f" tenth: {' '.join(map(str, rss))}")
    sample("daemon.growth", "KiB", rss[-1] - rss[0])
    sample("daemon.unseals", "count", count)
    daemon.stop()


def main():
    verbs = {"start": (start, 3), "idle": (idle, 2), "unseals": (unseals, 3)}
    function, least = verbs.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if not function or len(sys.argv) - 2 < least:
        sys.exit(__doc__)
    function(*sys.argv[2:])


if __name__ == "__main__":
    main()

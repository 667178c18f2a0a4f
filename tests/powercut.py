#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cut a guest's power in the midst of its work, and see what the next boot has.

    powercut.py STATE CUTS SOCKET QMP PID
    powercut.py --seed N STATE      begin; without N it is drawn
    powercut.py --judge STATE       the verdict, as lines of NAME=VALUE

The last three are what scripts/vm gives.  Runs on the host beside each boot of a
kept guest, see tests/vm/powercut: has all checked that was ever reported as done,
then some work done, and sends QEMU a SIGKILL at a random moment of one piece of it
or right after its end.  With CUTS made, the last boot checks everything once
more.

What the guest has not given to its disk is lost with QEMU.  What it has, QEMU has
handed to this host's kernel, which lives on; of qcow2, where the data went is
handed over no later than when the guest flushes, and lost if it has not.  So
whatever was synced is there, and whatever was not need not be.
"""

import json
import os
import random
import signal
import socket
import sys
import time

KINDS = ["create", "reseal", "rewrap", "format", "token", "daemon", "dek", "fill"]
VAULTS = ["hsm", "known"]
# Of each boot, and all of them each so many boots.
SAMPLE, ALL_EACH = 8, 20
PATIENCE = 400
# Until it is known better, in seconds.
USUAL = 2.0


class State:
    """What survives the guest: all that it reported, and the course so far."""

    def __init__(self, path, fresh=None):
        self.path = path
        if fresh is not None:
            self.data = {"seed": fresh, "boots": 0, "cuts": 0, "count": 0,
                         "set_up": False, "complete": False, "checked": 0,
                         "keks": {}, "deks": {}, "volumes": {}, "fresh": [],
                         "usual": {}, "cut_in": {}, "cut_after": 0,
                         "lost": [], "failed": []}
            self.save()
        else:
            with open(path, encoding="utf-8") as file:
                self.data = json.load(file)

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
        os.rename(self.path + ".new", self.path)

    def __getitem__(self, name):
        return self.data[name]

    def __setitem__(self, name, value):
        self.data[name] = value


class Guest:
    def __init__(self, path, pid):
        self.pid, self.rest = pid, b""
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self.socket.connect(path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        sys.exit(f"powercut: nobody listens at {path}")

    def tell(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self, seconds):
        """One line, or None when the time is up; ends with the guest."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                part = self.socket.recv(4096)
            except TimeoutError:
                return None
            if not part:
                sys.exit("powercut: the guest went by itself")
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace")

    def do(self, text):
        self.tell(text)
        return self.hear(PATIENCE) or "failed: it hangs"

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class Course:
    def __init__(self, state, guest):
        self.state, self.guest = state, guest
        self.random = random.Random(f"{state['seed']} {state['boots']}")

    def new_name(self, letter):
        self.state["count"] += 1
        return f"{letter}{self.state['count']}"

    def some(self, kind):
        return self.random.choice(sorted(self.state[kind]))

    def work(self, kind):
        """A piece of work of that kind: its words, the last of them a name."""
        state = self.state
        if kind == "daemon":
            return [kind]
        if kind == "create" or not state["keks"]:
            return ["create", self.new_name("k")]
        if kind == "reseal":
            name = self.some("keks")
            others = [v for v in VAULTS if v != state["keks"][name]]
            return [kind, name, self.random.choice(others)]
        if kind == "format" or kind in ("token", "fill") and \
                not state["volumes"]:
            return ["format", self.new_name("v"), self.some("keks")]
        if kind == "dek" or kind == "rewrap" and not state["deks"]:
            return ["dek", self.new_name("d"), self.some("keks")]
        if kind == "rewrap":
            return [kind, self.some("deks"), self.some("keks")]
        if kind == "fill":
            return [kind, self.some("volumes")]
        return ["token", self.some("volumes"), str(state["boots"])]

    def done(self, words):
        """It was reported: from now on it must be there."""
        kind, *rest = words
        state = self.state
        if kind == "create":
            state["keks"][rest[0]] = "hsm"
        elif kind == "reseal":
            state["keks"][rest[0]] = rest[1]
        elif kind in ("dek", "rewrap"):
            state["deks"][rest[0]] = rest[1]
        elif kind == "format":
            state["volumes"][rest[0]] = "formatted"
        elif kind == "fill":
            state["volumes"][rest[0]] = "filled"
        self.touch(words)
        state.save()

    def touch(self, words):
        """What the next boot looks at in any case."""
        if len(words) > 1 and words[1] not in self.state["fresh"]:
            self.state["fresh"].append(words[1])

    def fail(self, where, what, words, reply):
        self.state[where].append(
            f"boot {self.state['boots']}: {what} {' '.join(words)}: {reply}")
        self.state.save()

    def checks(self, everything):
        """The words of each check that is due."""
        state = self.state
        all_of = [["kek", name] for name in state["keks"]] + \
            [["dek", name] for name in state["deks"]] + \
            [["filled" if how == "filled" else "volume", name]
             for name, how in state["volumes"].items()]
        if everything:
            return [["daemon"]] + all_of
        fresh = [c for c in all_of if c[1] in state["fresh"]]
        others = [c for c in all_of if c not in fresh]
        return [["daemon"]] + fresh + \
            self.random.sample(others, min(SAMPLE, len(others)))

    def check(self, everything):
        for words in self.checks(everything):
            reply = self.guest.do("check " + " ".join(words))
            self.state["checked"] += 1
            if reply != "done":
                self.fail("lost", "check", words, reply)
        self.state["fresh"] = []
        self.state.save()

    def whole(self, kind):
        """One that is not cut; how long it takes is remembered."""
        words = self.work(kind)
        self.touch(words)
        start = time.monotonic()
        reply = self.guest.do(" ".join(words))
        if reply != "done":
            self.fail("failed", "work", words, reply)
            return
        took = time.monotonic() - start
        usual = self.state["usual"].get(words[0], took)
        self.state["usual"][words[0]] = (usual + took) / 2
        self.done(words)

    def cut(self, kind):
        words = self.work(kind)
        self.touch(words)
        usual = self.state["usual"].get(words[0], USUAL)
        deadline = time.monotonic() + self.random.uniform(0, 1.25 * usual)
        self.guest.tell(" ".join(words))
        reply = self.guest.hear(deadline - time.monotonic())
        if reply == "done":
            self.done(words)
            self.state["cut_after"] += 1
            time.sleep(max(0, deadline - time.monotonic()))
        elif reply:
            self.fail("failed", "work", words, reply)
        else:
            cut_in = self.state["cut_in"]
            cut_in[words[0]] = cut_in.get(words[0], 0) + 1
        self.state["cuts"] += 1
        self.state.save()
        self.guest.kill()

    def boot(self, last):
        state = self.state
        if self.guest.hear(PATIENCE) != "ready":
            sys.exit("powercut: the guest does not come up")
        state["boots"] += 1
        if not state["set_up"]:
            reply = self.guest.do("setup")
            if reply != "done":
                sys.exit(f"powercut: {reply}")
            state["set_up"] = True
        self.check(last or state["boots"] % ALL_EACH == 0)
        if last:
            state["complete"] = True
            state.save()
            self.guest.tell("end")
            return
        for _ in range(self.random.randrange(3)):
            self.whole(self.random.choice(KINDS))
        # Each kind in its turn.
        self.cut(KINDS[state["cuts"] % len(KINDS)])


def judge(state):
    for name in ("seed", "boots", "cuts", "cut_after", "checked"):
        print(f"{name}={state[name]}")
    print(f"complete={int(state['complete'])}")
    print("cut_in=" + " ".join(f"{k}:{n}" for k, n in
                               sorted(state["cut_in"].items())))
    for name in ("keks", "deks", "volumes", "lost", "failed"):
        print(f"{name}={len(state[name])}")
    for line in state["lost"] + state["failed"]:
        print(f"# {line}")


def main():
    if sys.argv[1] == "--seed":
        seed = int(sys.argv[2]) or random.SystemRandom().randrange(1, 1 << 32)
        State(sys.argv[3], seed)
    elif sys.argv[1] == "--judge":
        judge(State(sys.argv[2]))
    else:
        path, cuts, port, _, pid = sys.argv[1:]
        state = State(path)
        Course(state, Guest(port, int(pid))).boot(state["cuts"] >= int(cuts))


if __name__ == "__main__":
    main()

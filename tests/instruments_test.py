#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What other tests measure with, tried on what is known; TAP, runs anywhere.

The hunt in physical memory, on a dump made here; the writers of the chaos, on a
file that is spoilt; the course of power cuts, with a guest that loses things.
"""

import os
import random
import socket
import struct
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import aes_schedule  # noqa: E402
import chaos  # noqa: E402
import chaos_work  # noqa: E402
import hunt_memory  # noqa: E402
import hunt_pages  # noqa: E402
import powercut  # noqa: E402

CASES = []
PAGE = 4096
SECRET = bytes(range(1, 17))


def case(function):
    CASES.append(function)
    return function


@case
def round_keys_are_those_of_fips_197():
    keys = aes_schedule.round_keys
    return keys(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))[10] == \
        bytes.fromhex("d014f9a8c9ee2589e13f0cc8b6630ca6") and \
        keys(bytes.fromhex("603deb1015ca71be2b73aef0857d7781"
                           "1f352c073b6108d72d9810a30914dff4"))[14] == \
        bytes.fromhex("fe4890d1e6188d0b046df344706c631e") and \
        aes_schedule.inverse_round_keys(bytes(range(16)))[8] == \
        bytes.fromhex("13aa29be9c8faff6f770f58000f7bf03")


class Dump:
    """600 pages of memory in two segments, with page tables in it."""

    def __init__(self, folder):
        self.data = bytearray(600 * PAGE)
        for table, notes in ((10, 0), (20, 0x20), (30, 0)):
            for slot in (261, 300, 511):
                self.entry(table, slot, slot * PAGE | 0x43 | notes)
        # One process has page 100, and page 101 that it may not touch.
        self.entry(10, 0, 11 * PAGE | 7)
        self.entry(11, 1, 12 * PAGE | 7)
        self.entry(12, 2, 13 * PAGE | 7)
        self.entry(13, 3, 100 * PAGE | 0x67 | 1 << 63)
        self.entry(13, 4, ~(101 * PAGE) & hunt_memory.ADDRESS | 0x100)
        self.entry(13, 5, 102 * PAGE | 2)       # in swap
        # Another one has a page of 2 MiB.
        self.entry(20, 255, 21 * PAGE | 7)
        self.entry(21, 0, 22 * PAGE | 7)
        self.entry(22, 7, 512 * PAGE | 0xe7)
        self.path = os.path.join(folder, "dump")

    def entry(self, page, slot, value):
        struct.pack_into("<Q", self.data, page * PAGE + 8 * slot, value)

    def memory(self):
        header, half = bytearray(64), 300 * PAGE
        struct.pack_into("<Q", header, 32, 64)
        struct.pack_into("<HH", header, 54, 56, 3)
        at = 64 + 3 * 56
        for kind, offset, address in ((4, 0, 0), (1, at, 0),
                                      (1, at + half, half)):
            size = half if kind == 1 else 0
            header += struct.pack("<IIQQQQQQ", kind, 0, offset, 0, address,
                                  size, size, 0)
        with open(self.path, "wb") as file:
            file.write(header + self.data)
        return hunt_memory.Memory(self.path)


@case
def what_processes_have_mapped_is_read_from_their_page_tables():
    with tempfile.TemporaryDirectory() as folder:
        found = hunt_memory.Mapped(Dump(folder).memory(), 10 * PAGE | 5)
    return found.tables == 3 and {100, 101} < found.pages and \
        set(range(512, 1024)) < found.pages and \
        not found.pages & {102, 10, 13, 261, 300}


@case
def a_secret_is_found_wherever_it_lies():
    with tempfile.TemporaryDirectory() as folder:
        dump = Dump(folder)
        places = [8, 100 * PAGE + 3, 200 * PAGE - 8, 300 * PAGE,
                  599 * PAGE + PAGE - 16]
        for at in places:
            dump.data[at:at + 16] = SECRET
        secrets = hunt_memory.Secrets()
        secrets.add("it", SECRET)
        whole = list(secrets.find_in(dump.memory()))
        hunt_memory.BLOCK = 200 * PAGE
        return whole == list(secrets.find_in(dump.memory())) == \
            [("it: bytes", at) for at in places]


@case
def a_page_is_the_kernels_only_if_it_was_so_before_and_after():
    hunting = hunt_memory.Hunt("", None, "/x/y")
    hunting.mapped = {7}
    places = {"0,0,0": "kernel", "80,80,0": "kernel", "80,20,0": "page cache",
              "0,28,0": "page cache", "4028,4028,0": "page cache",
              "1000,0,0": "process", "0,0,1": "process", "400,0,0": "free"}
    return all(hunting.place(9, flags) == place
               for flags, place in places.items()) and \
        hunting.place(7, "80,80,0") == "process"


@case
def a_part_of_a_larger_page_has_the_flags_of_the_whole():
    flags = struct.pack("<4Q", 0x20 | 1 << 15, 1 << 16, 1 << 16, 0x80)
    return hunt_pages.flags_at(flags, 2) & 0x20 and \
        hunt_pages.flags_at(flags, 3) == 0x80


class Spoilt(chaos_work.Writer):
    """On a file, of which some writes fail, before, amid or after the data."""

    def __init__(self, folder):
        super().__init__(chaos_work.Slots(1), 0, 5, "", "chaos0")
        self.path, self.chance = os.path.join(folder, "device"), \
            random.Random(7)
        with open(self.path, "wb") as file:
            file.truncate(chaos_work.BLOCK * chaos_work.BLOCKS)

    def open(self):
        self.fd = os.open(self.path, os.O_RDWR)
        return True

    def write(self, block):
        if self.chance.randrange(8):
            super().write(block)
            return
        true, os.pwritev = os.pwritev, self.fail
        try:
            super().write(block)
        finally:
            os.pwritev = true

    def fail(self, fd, buffers, at):
        os.pwrite(fd, bytes(buffers[0])[:512 * self.chance.randrange(65)], at)
        raise OSError(5, "spoilt")

    def spoil(self, number, data):
        with open(self.path, "r+b") as file:
            file.seek(512 * number)
            file.write(data)

    def wrong(self):
        before = self.values[chaos_work.WRONG]
        self.check_all()
        return self.values[chaos_work.WRONG] - before


@case
def writes_that_fail_are_no_wrong_sectors():
    with tempfile.TemporaryDirectory() as folder:
        writer = Spoilt(folder)
        for _ in range(800):
            writer.turn()
        writer.open()
        return writer.values[chaos_work.REFUSED] > 20 and \
            writer.values[chaos_work.GOOD] > 500 and not writer.wrong() and \
            not writer.values[chaos_work.WRONG]


@case
def a_sector_that_is_old_foreign_or_damaged_is_wrong():
    with tempfile.TemporaryDirectory() as folder:
        writer = Spoilt(folder)
        writer.chance.randrange = lambda n: 1           # none fails
        for block in (0, 1, 0):
            writer.open()
            writer.write(block)
        if writer.wrong():
            return False
        writer.spoil(3, writer.sector(3, 1))            # of an old write
        writer.spoil(70, writer.sector(3, 3))           # of another place
        writer.spoil(80, b"x")
        return writer.wrong() == 3


@case
def what_grows_in_each_quarter_is_a_leak_and_what_only_jumps_is_not():
    steady = [{"a": 0, "b": 0, "all": 0}] + [
        {"a": 300 * i, "b": 900, "all": 9000 - i} for i in range(1, 5)]
    return list(chaos.leaks(steady)) == ["a"]


class Forgetful:
    """A guest that says done to all, and after a cut has lost some of it."""

    def __init__(self, path, loses):
        self.loses, self.listener = loses, socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            with self.listener.accept()[0] as guest, \
                    guest.makefile("rw") as lines:
                print("ready", file=lines, flush=True)
                for line in lines:
                    lost = line.startswith("check " + self.loses)
                    print("failed it is gone" if lost else "done", file=lines,
                          flush=True)
        except OSError:
            pass                            # the power went


def course(folder, loses):
    path, port = os.path.join(folder, "state"), os.path.join(folder, "port")
    powercut.State(path, 11)
    powercut.USUAL = 0.01
    powercut.Guest.kill = lambda self: self.socket.close()
    while True:
        Forgetful(port, loses)
        state = powercut.State(path)
        if state["complete"]:
            return state
        powercut.Course(state, powercut.Guest(port, 0)).boot(
            state["cuts"] >= 24)


@case
def after_power_cuts_all_that_was_done_is_looked_for():
    with tempfile.TemporaryDirectory() as folder:
        state = course(folder, "nothing")
        return state["cuts"] == 24 and not state["lost"] and \
            not state["failed"] and state["keks"] and state["deks"] and \
            state["volumes"] and state["checked"] > 100


@case
def what_a_power_cut_took_is_told():
    with tempfile.TemporaryDirectory() as folder:
        return all(course(folder, kind)["lost"]
                   for kind in ("kek", "dek", "volume", "daemon"))


def main():
    print(f"1..{len(CASES)}")
    failed = 0
    for number, function in enumerate(CASES, 1):
        try:
            good = function()
        except Exception as err:  # a case that breaks is a case that failed
            print(f"# {type(err).__name__}: {err}")
            good = False
        failed += not good
        name = function.__name__.replace("_", " ")
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Append numbered records, each synced before the next: suspend_writer.py FILE STATE.

STATE.done holds how many are on the disk for sure, STATE.error what went wrong.
Goes on with what FILE holds.  Ends by SIGTERM or by an error.

    suspend_writer.py --check FILE STATE

All records that were synced are in FILE, in their order.
"""
import os
import signal
import sys

SIZE = 512


def record(number):
    return (b"record %08d " % number).ljust(SIZE - 1, b".") + b"\n"


def write(path, state):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    out = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    done = os.open(state + ".done", os.O_WRONLY | os.O_CREAT, 0o600)
    number = os.fstat(out).st_size // SIZE
    try:
        while not stop:
            os.write(out, record(number))
            os.fsync(out)
            number += 1
            os.pwrite(done, b"%08d\n" % number, 0)
    except OSError as error:
        with open(state + ".error", "w", encoding="ascii") as file:
            print(error, file=file)
        sys.exit(f"record {number}: {error}")


def check(path, state):
    with open(state + ".done", "rb") as file:
        done = int(file.read())
    with open(path, "rb") as file:
        for number in range(done):
            if file.read(SIZE) != record(number):
                sys.exit(f"record {number} of {done} is not there")
    print(f"{done} records")
    if not done:
        sys.exit("no record was written")


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(*sys.argv[2:])
    else:
        write(*sys.argv[1:])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's end of the hunt in physical memory; see hunt_memory.py.

    hunt_pages.py tell WORD...      a word @FILE is the file's content
    hunt_pages.py hunt PHASE

The second writes down what each page is before it asks to be searched, and then
says of the pages with hits what they were and what they are.
"""

import base64
import os
import struct
import sys
import time

PORT = "/dev/virtio-ports/host"
PATIENCE = 600
# Bits of /proc/kpageflags, from linux/kernel-page-flags.h.
HEAD, TAIL = 15, 16


class Host:
    def __init__(self):
        self.port = os.open(PORT, os.O_RDWR | os.O_CLOEXEC)

    def ask(self, text):
        data, deadline = text.encode() + b"\n", time.monotonic() + PATIENCE
        while data:
            data = data[os.write(self.port, data):]
        reply = b""
        while not reply.endswith(b"\n"):
            part = os.read(self.port, 65536)
            if not part:                    # nobody is there, or not yet
                if time.monotonic() > deadline:
                    sys.exit("hunt_pages: the host says nothing")
                time.sleep(0.1)
            reply += part
        return reply.decode().split()


def snapshot(path):
    """What /proc has on each page: a number of 8 bytes."""
    data = bytearray()
    with open(path, "rb", 0) as file:
        while part := file.read(1 << 20):
            data += part
    return data


def numbers():
    return snapshot("/proc/kpageflags"), snapshot("/proc/kpagecount")


def number(data, page):
    return struct.unpack_from("<Q", data, 8 * page)[0]


def flags_at(data, page):
    """Of several pages in one, what holds for all may be said of the first only."""
    flags, head = number(data, page), page
    if flags >> TAIL & 1:
        while head and not number(data, head) >> HEAD & 1:
            head -= 1
    return flags | number(data, head)


def flags_of(page, before, after):
    count = max(number(before[1], page), number(after[1], page))
    return f"{page:x}={flags_at(before[0], page):x}," \
        f"{flags_at(after[0], page):x},{count:x}"


def hunt(host, phase):
    before = numbers()
    word, *pages = host.ask(f"hunt {phase}")
    if word != "pages":
        sys.exit(f"hunt_pages: the host says {word}")
    after = numbers()
    return host.ask(" ".join(["flags"] + [
        flags_of(int(page, 16), before, after) for page in pages]))


def word_of(text):
    if not text.startswith("@"):
        return text
    with open(text[1:], "rb") as file:
        return base64.b64encode(file.read()).decode()


def main():
    host = Host()
    if sys.argv[1] == "hunt":
        reply = hunt(host, sys.argv[2])
    else:
        reply = host.ask(" ".join(map(word_of, sys.argv[2:])))
    if reply != ["done"]:
        sys.exit(f"hunt_pages: the host says {' '.join(reply)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hunt for secrets in the physical memory of a guest, each time it asks.

    hunt_memory.py FOUND SOCKET QMP PID

Runs on the host beside a guest; scripts/vm says what the last three are.  The
guest says one line at a time at its port, which is SOCKET, and each is
answered with one; B64 is base64:

    kek NAME B64 B64    an envelope and the vault's private key
    blob LABEL NAME B64 a blob under that KEK
    raw LABEL B64       bytes to look for, as an AES key too
    hunt PHASE          stop the guest, write down its memory, let it go on and
                        look for all of that; the answer names the pages of hits
    flags PFN=FLAGS...  what the guest knows of each, before and after

Then FOUND gets lines of PHASE, LABEL, PLACE and COUNT, with tabs between.  The
guest never learns a secret: it could be found there.

PLACE is where a page belongs.  `process` is read from the page tables of all
processes, in the very memory that was searched, as the processor would: nothing
moves meanwhile, so it is certain.  Which pages are in the page cache only the
guest can tell, from /proc/kpageflags: it says what it saw before it was stopped
and after, and a page is called the kernel's only if it was so both times.
"""

import base64
import ctypes
import json
import mmap
import os
import re
import socket
import struct
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import aes_schedule
import hunt
import oracle
import wipe

PAGE = 4096
BLOCK = 4 << 20
ADDRESS = 0x000ffffffffff000
PRESENT, LARGE, PROTNONE = 1, 1 << 7, 1 << 8
# Accessed and dirty are the processor's notes.
NOTES = ~0x60 & (1 << 64) - 1

# Bits of /proc/kpageflags, from linux/kernel-page-flags.h.
LOCKED, UPTODATE, DIRTY, LRU, SLAB, WRITEBACK = 0, 3, 4, 5, 7, 8
BUDDY, MMAP, ANON, SWAPCACHE, SWAPBACKED, HUGE = 10, 11, 12, 13, 14, 17
KSM = 21
MAPPED = 1 << MMAP | 1 << ANON | 1 << KSM | 1 << HUGE
CACHED = 1 << LRU | 1 << UPTODATE | 1 << DIRTY | 1 << WRITEBACK | \
    1 << SWAPCACHE | 1 << SWAPBACKED | 1 << LOCKED


class Qemu:
    """QEMU's QMP socket, for as long as one hunt takes."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rw")
        self.answer()
        self.call("qmp_capabilities")

    def answer(self):
        for line in self.stream:
            message = json.loads(line)
            if "event" not in message:
                return message
        sys.exit("hunt_memory: QEMU closed the connection")

    def call(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.stream.write(json.dumps(request) + "\n")
        self.stream.flush()
        reply = self.answer()
        if "error" in reply:
            sys.exit(f"hunt_memory: {command}: {reply['error']['desc']}")
        return reply["return"]

    def dump(self, path):
        """Returns CR3 of the first processor; the guest stands still."""
        self.call("stop")
        registers = self.call("human-monitor-command",
                              **{"command-line": "info registers"})
        self.call("dump-guest-memory", paging=False, protocol=f"file:{path}")
        self.call("cont")
        self.socket.close()
        return int(re.search(r"CR3=([0-9a-fA-F]+)", registers)[1], 16)


class Memory:
    """A dump: an ELF core whose segments say what physical address they have."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start, = struct.unpack_from("<Q", self.map, 32)
        size, count = struct.unpack_from("<HH", self.map, 54)
        self.parts = []
        for i in range(count):
            kind, _, offset, _, address, length = struct.unpack_from(
                "<IIQQQQ", self.map, start + i * size)
            if kind == 1:
                self.parts.append((address, length, offset))
        self.size = sum(length for _, length, _ in self.parts)

    def at(self, address):
        """Where a physical address is in the dump, or None."""
        for start, length, offset in self.parts:
            if start <= address < start + length:
                return offset + address - start
        return None

    def pages(self):
        for start, length, offset in self.parts:
            for at in range(-start % PAGE, length - PAGE + 1, PAGE):
                yield (start + at) // PAGE, offset + at

    def table(self, address):
        at = self.at(address)
        return () if at is None else struct.unpack_from("<512Q", self.map, at)


class Mapped:
    """The pages that some process has mapped, by all page tables there are.

    The kernel's half of the topmost table is the same in each process, so each
    page that has it is a process's table.  One that is not in use any more has
    an empty lower half.
    """

    def __init__(self, memory, cr3):
        self.memory, self.pages, self.tables = memory, set(), 0
        own = memory.at(cr3 & ADDRESS)
        if own is None:
            sys.exit(f"hunt_memory: CR3 is {cr3:#x}, which is no memory")
        kernel = self.kernel_half(own)
        last = kernel[-1]
        for _, at in memory.pages():
            entry, = struct.unpack_from("<Q", memory.map, at + 511 * 8)
            if entry & NOTES == last and self.kernel_half(at) == kernel:
                self.tables += 1
                self.walk(struct.unpack_from("<256Q", memory.map, at), 4)

    def kernel_half(self, at):
        return [entry & NOTES for entry in
                struct.unpack_from("<256Q", self.memory.map, at + 256 * 8)]

    def walk(self, entries, level):
        for entry in entries:
            if not entry & PRESENT:
                # Not to be touched, but mapped; its address may be inverted.
                if level == 1 and entry & PROTNONE:
                    self.pages.add((entry & ADDRESS) // PAGE)
                    self.pages.add((~entry & ADDRESS) // PAGE)
            elif level == 1:
                self.pages.add((entry & ADDRESS) // PAGE)
            elif entry & LARGE and level < 4:
                count = 512 ** (level - 1)
                first = (entry & ADDRESS) // PAGE // count * count
                self.pages.update(range(first, first + count))
            else:
                self.walk(self.memory.table(entry & ADDRESS), level - 1)


def aes_keys(label, key):
    """The forms that AES has of a key of 16 or 32 bytes."""
    for data in aes_schedule.round_keys(key)[len(key) // 16:]:
        yield f"{label}: round key", data
    for data in aes_schedule.inverse_round_keys(key):
        yield f"{label}: inverse round key", data
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    yield f"{label}: hash key", block.update(bytes(16))


class Secrets:
    """What to look for: patterns, each with a label, the first that came."""

    def __init__(self):
        self.keks, self.patterns = {}, {}

    def add(self, label, secret):
        for name, data in hunt.forms(label, secret):
            kind = "bytes" if re.search(r"\]( reversed)?$", name) else "text"
            self.pattern(f"{label}: {kind}", data)

    def pattern(self, label, data):
        if len(set(data)) > 3:              # not a run of padding
            self.patterns.setdefault(data, label)

    def add_keys(self, label, *keys):
        for key in keys:
            for name, data in aes_keys(label, key):
                self.pattern(name, data)

    def add_kek(self, name, envelope, key):
        envelope = oracle.Envelope.parse(envelope)
        secrets = oracle.verify(envelope, {
            1: serialization.load_pem_private_key(key, None)})
        self.keks[name] = secrets
        self.add(f"{name} KEK", secrets.kek)
        self.add_keys(f"{name} KEK", secrets.kek)
        self.add(f"{name} M", secrets.master)
        self.add(f"{name} HMAC key", secrets.mac)
        for share in envelope.shares:
            part = secrets.parts[share.index]
            self.add(f"{name} share secret", secrets.shares[share.index])
            self.add(f"{name} mask", bytes(
                a ^ b for a, b in zip(share.masked, part)))

    def add_blob(self, label, name, blob):
        dek = oracle.open_blob(blob, self.keks[name])
        use = oracle.use_of(blob)
        self.add(label, dek)
        if use == "xts":
            self.add_keys(label, dek[:len(dek) // 2], dek[len(dek) // 2:])
        elif use in ("cbc", "ctr", "gcm"):
            self.add_keys(label, dek)
        elif use == "hmac":
            self.add(f"{label} states", wipe.hmac_states(dek))

    def add_raw(self, label, key):
        self.add(label, key)
        self.add_keys(label, key[:len(key) // 2], key[len(key) // 2:])

    def find_in(self, memory):
        """Yields label and physical address of each hit."""
        library = ctypes.CDLL(os.path.join(hunt.HERE, "hunt_scan.so"))
        library.hunt_scan.restype = ctypes.c_long
        names = list(self.patterns)
        patterns = (hunt.Pattern * len(names))(
            *[hunt.Pattern(data, len(data)) for data in names])
        overlap = max(map(len, names)) - 1
        which = ctypes.c_size_t()
        for start, length, offset in memory.parts:
            for at in range(0, length, BLOCK):
                block = memory.map[offset + at:offset + min(
                    at + BLOCK + overlap, length)]
                found = -1
                while True:
                    found = library.hunt_scan(
                        block, ctypes.c_size_t(len(block)),
                        ctypes.c_size_t(found + 1), patterns,
                        ctypes.c_size_t(len(names)), ctypes.byref(which))
                    if found < 0 or found >= BLOCK:
                        break
                    yield self.patterns[names[which.value]], \
                        start + at + found


class Guest:
    """The guest's end of a conversation."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        else:
            sys.exit(f"hunt_memory: nobody listens at {path}")
        self.lines = self.socket.makefile("rw")

    def says(self):
        for line in self.lines:
            yield line.split()

    def tell(self, text):
        self.lines.write(text + "\n")
        self.lines.flush()


class Hunt:
    def __init__(self, found, guest, qmp):
        self.found, self.guest, self.qmp = found, guest, qmp
        self.dump = os.path.join(os.path.dirname(qmp), "hunt-dump")
        self.secrets = Secrets()
        self.phase, self.hits, self.mapped = "", [], set()

    def start(self, phase):
        """What is found and where; the flags of the pages are still to come."""
        cr3 = Qemu(self.qmp).dump(self.dump)
        memory = Memory(self.dump)
        # What is mapped is now ours alone.
        os.unlink(self.dump)
        mapped = Mapped(memory, cr3)
        self.phase, self.mapped = phase, mapped.pages
        self.hits = list(self.secrets.find_in(memory))
        self.note("searched", "MiB", memory.size >> 20)
        self.note("searched", "patterns", len(self.secrets.patterns))
        self.note("searched", "page tables", mapped.tables)
        self.note("searched", "mapped pages", len(mapped.pages))
        return " ".join(["pages"] + [f"{page:x}" for page in
                                     sorted({at // PAGE for _, at in self.hits})])

    def place(self, page, flags):
        """flags: those before and after, in hexadecimal, and the mappings."""
        before, after, count = (int(part, 16) for part in flags.split(","))
        if page in self.mapped:
            return "process"
        if before & after & 1 << SLAB:
            return "kernel"
        either = before | after
        if either & MAPPED or count:
            return "process"
        if either & CACHED:
            return "page cache"
        return "free" if either & 1 << BUDDY else "kernel"

    def finish(self, flags):
        flags = dict(pair.split("=") for pair in flags)
        counts = {}
        for label, at in self.hits:
            key = label, self.place(at // PAGE, flags[f"{at // PAGE:x}"])
            counts[key] = counts.get(key, 0) + 1
        for (label, place), count in sorted(counts.items()):
            self.note(label, place, count)
        self.hits = []

    def note(self, label, place, count):
        with open(self.found, "a", encoding="utf-8") as file:
            print(self.phase, label, place, count, sep="\t", file=file)

    def answer(self, word, *rest):
        if word == "kek":
            self.secrets.add_kek(rest[0], *map(base64.b64decode, rest[1:]))
        elif word == "blob":
            self.secrets.add_blob(rest[0], rest[1], base64.b64decode(rest[2]))
        elif word == "raw":
            self.secrets.add_raw(rest[0], base64.b64decode(rest[1]))
        elif word == "hunt":
            return self.start(*rest)
        elif word == "flags":
            self.finish(rest)
        else:
            return f"no such word: {word}"
        return "done"


def main():
    found, path, qmp, _ = sys.argv[1:]
    guest = Guest(path)
    hunting = Hunt(found, guest, qmp)
    for words in guest.says():
        guest.tell(hunting.answer(*words))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Look for plaintext keys wherever userspace can have left them.

    hunt.py [--kek ENVELOPE KEY] [--blob FILE]... [--raw FILE] [PATH...]

Searches the memory, arguments and environment of every process but this one,
and every file below PATH, for the secrets that the oracle recomputes from
ENVELOPE and KEY and the DEKs of the blobs, or for the bytes of FILE: raw, in
hexadecimal and in base64.  Exit status 0: nothing found; 3: found; 1: trouble.

The secrets are recomputed here and never leave this process, so whatever is
found was left by another.
"""

import argparse
import base64
import ctypes
import os
import stat
import sys

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 4 << 20
PIECE = 16


class Pattern(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char_p), ("len", ctypes.c_size_t)]


def forms(label, secret):
    """What a secret, or a part of it, can look like.

    A piece of 16 bytes also finds what holds only part of the secret, such as
    one half of an XTS key.
    """
    for at in range(0, len(secret) - PIECE + 1, PIECE):
        piece = secret[at:at + PIECE]
        name = f"{label}[{at}:{at + PIECE}]"
        yield name, piece
        yield f"{name} reversed", piece[::-1]
        yield f"{name} in hex", piece.hex().encode()
        yield f"{name} in HEX", piece.hex().upper().encode()
    # Base64 depends on the place modulo 3; the ends also on the neighbours.
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        yield f"{label} in base64", text[4 if shift else 0:][:28]
        yield f"{label} in base64url", text[4 if shift else 0:][:28] \
            .replace(b"+", b"-").replace(b"/", b"_")


class Hunter:
    def __init__(self, secrets):
        found = {}
        for label, secret in secrets:
            for name, data in forms(label, secret):
                if len(set(data)) > 3:      # not a run of padding
                    found.setdefault(data, name)
        self.names = list(found.values())
        self.keep = list(found)
        self.longest = max(map(len, self.keep))
        self.patterns = (Pattern * len(self.keep))(
            *[Pattern(data, len(data)) for data in self.keep])
        library = ctypes.CDLL(os.path.join(HERE, "hunt_scan.so"))
        self.scan = library.hunt_scan
        self.scan.restype = ctypes.c_long
        self.scan.argtypes = [ctypes.c_char_p, ctypes.c_size_t,
                              ctypes.c_size_t, ctypes.POINTER(Pattern),
                              ctypes.c_size_t,
                              ctypes.POINTER(ctypes.c_size_t)]
        self.searched = {"memory": 0, "arguments": 0, "files": 0}
        self.processes, self.files, self.hits = [], 0, []

    def search(self, data, where, base=0):
        at, which = 0, ctypes.c_size_t()
        while True:
            at = self.scan(data, len(data), at, self.patterns,
                           len(self.keep), ctypes.byref(which))
            if at < 0:
                return
            hit = f"{self.names[which.value]} {where}, at {base + at:#x}"
            if hit not in self.hits:
                self.hits.append(hit)
            at += 1

    def stream(self, file, start, length, where, kind):
        """length None: to the end.  Blocks overlap by a pattern's length."""
        file.seek(start)
        position, tail = start, b""
        while length is None or position < start + length:
            want = BLOCK if length is None else \
                min(BLOCK, start + length - position)
            data = file.read(want)
            if not data:
                break
            self.searched[kind] += len(data)
            self.search(tail + data, where, position - len(tail))
            tail = (tail + data)[-(self.longest - 1):]
            position += len(data)

    def region(self, memory, start, end, where):
        """A hole in a mapping costs only its own page."""
        try:
            self.stream(memory, start, end - start, where, "memory")
        except OSError:
            if end - start > 4096:
                middle = start + (end - start) // 8192 * 4096
                self.region(memory, start, middle, where)
                self.region(memory, middle, end, where)

    def process(self, pid):
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            name = file.read().strip()
        where = f"in process {pid} ({name})"
        for part in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{part}", "rb") as file:
                data = file.read()
            self.searched["arguments"] += len(data)
            self.search(data, f"{where}, {part}")
        with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
            regions = resident(file)
        if not regions:
            return                          # a thread of the kernel
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for start, end, what in regions:
                self.region(memory, start, end, f"{where}, {what}")
        self.processes.append(name)

    def all_processes(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            try:
                self.process(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass                        # it has ended

    def path(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            for folder, _, names in os.walk(path):
                for name in names:
                    self.file(os.path.join(folder, name))
        else:
            self.file(path, True)

    def file(self, path, device=False):
        try:
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode) and not (device and stat.S_ISBLK(mode)):
                return
            with open(path, "rb", 0) as file:
                self.stream(file, 0, None, f"in file {path}", "files")
            self.files += 1
        except FileNotFoundError:
            pass

    def report(self):
        print(f"processes={len(self.processes)} files={self.files} "
              f"memory={self.searched['memory']} "
              f"arguments={self.searched['arguments']} "
              f"file_bytes={self.searched['files']} "
              f"patterns={len(self.keep)} hits={len(self.hits)}")
        print("searched: " + " ".join(sorted(set(self.processes))))
        for hit in self.hits[:40]:
            print(f"found: {hit}")


def resident(smaps):
    """The mappings of which pages are in memory or in swap."""
    regions, current, pages = [], None, 0
    for line in smaps:
        fields = line.split()
        if fields[0].endswith(":"):
            if fields[0] in ("Rss:", "Swap:"):
                pages += int(fields[1])
                if pages and current and current not in regions[-1:]:
                    regions.append(current)
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        what = fields[5] if len(fields) > 5 else "anonymous"
        pages = 0
        current = (start, end, what)
        if what in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
            current = None
    return regions


def secrets_of(args):
    if args.raw:
        with open(args.raw, "rb") as file:
            yield "the key", file.read()
    if not args.kek:
        return
    envelope = oracle.load_envelope(args.kek[0])
    secrets = oracle.load_secrets(*args.kek)
    yield "M", secrets.master
    yield "KEK", secrets.kek
    yield "HMAC key", secrets.mac
    for share in envelope.shares:
        if share.index not in secrets.shares:
            continue
        part = secrets.parts[share.index]
        yield f"share secret {share.index}", secrets.shares[share.index]
        yield f"part {share.index}", part
        yield f"mask {share.index}", bytes(
            a ^ b for a, b in zip(share.masked, part))
    for path in args.blob:
        with open(path, "rb") as file:
            yield f"DEK of {os.path.basename(path)}", \
                oracle.open_blob(file.read(), secrets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kek", nargs=2, metavar=("ENVELOPE", "KEY"))
    parser.add_argument("--blob", action="append", default=[])
    parser.add_argument("--raw")
    parser.add_argument("path", nargs="*")
    args = parser.parse_args()
    if not args.kek and not args.raw:
        parser.error("give --kek or --raw")
    hunter = Hunter(list(secrets_of(args)))
    hunter.all_processes()
    for path in args.path:
        hunter.path(path)
    hunter.report()
    return 3 if hunter.hits else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (oracle.Mismatch, OSError) as error:
        print(f"hunt: {error}", file=sys.stderr)
        sys.exit(1)

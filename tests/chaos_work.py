# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who work while all goes wrong around them; see chaos.py.

Each is a process of its own and accounts for what it does in a slot of shared
memory: since when it waits for the kernel, what it got done, what was refused as
it may be, and what must never happen.
"""

import errno
import hashlib
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import time

SLOW = int(os.environ.get("VAULTRING_SLOW", "1"))
# The module waits 25 s for a vault; who comes second may wait twice.
BOUND = 60 * SLOW
SLOT = struct.Struct("<d5Q")
SINCE, GOOD, REFUSED, WRONG, OTHER, ERRNO = range(6)
# What an absent vault, a revoke and a lack of memory may do to a caller.
MAY = {errno.EAGAIN, errno.ENOKEY, errno.EKEYREVOKED, errno.EKEYEXPIRED,
       errno.ENOMEM, errno.EINTR}
# And a module that is not there at the moment.
MAY_OPEN = MAY | {errno.ENOENT, errno.ENODEV}
SECTOR, BLOCK, BLOCKS = 512, 32768, 128
SPAN = BLOCK // SECTOR


def note(text):
    print(f"# {text}", flush=True)


class Slots:
    """The slots of all who work, and what they are told: go on, rest, end."""

    GO, REST, END = range(3)

    def __init__(self, count):
        self.count = count
        self.map = mmap.mmap(-1, SLOT.size * count + 8)

    def get(self, i):
        return SLOT.unpack_from(self.map, SLOT.size * i)

    def put(self, i, values):
        SLOT.pack_into(self.map, SLOT.size * i, *values)

    def sums(self):
        return [sum(parts) for parts in zip(*map(self.get, range(self.count)))]

    @property
    def order(self):
        return self.map[SLOT.size * self.count]

    @order.setter
    def order(self, value):
        self.map[SLOT.size * self.count] = value


class Worker:
    """One who works; a subclass has turn() and maybe finish()."""

    def __init__(self, slots, index, seed):
        self.slots, self.index = slots, index
        self.random = random.Random(f"{seed} {index}")
        self.values = [0.0, 0, 0, 0, 0, 0]

    def save(self):
        self.slots.put(self.index, self.values)

    def count(self, what, err=0):
        self.values[what] += 1
        if err:
            self.values[ERRNO] = err
        self.save()

    def enters(self):
        """From here on it waits for the kernel, or for a tool."""
        self.values[SINCE] = time.monotonic()
        self.save()

    def leaves(self):
        waited, self.values[SINCE] = time.monotonic() - self.values[SINCE], 0.0
        self.save()
        if waited > BOUND:
            note(f"worker {self.index} waited for {waited:.0f} s")
            self.count(OTHER, errno.ETIMEDOUT)

    def run(self):
        while self.slots.order != Slots.END:
            if self.slots.order == Slots.REST:
                time.sleep(0.1)
                continue
            self.turn()
        self.finish()

    def finish(self):
        pass

    def start(self):
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            self.run()
            status = 0
        except BaseException as error:  # pylint: disable=broad-except
            note(f"worker {self.index}: {error!r}")
        sys.stdout.flush()
        os._exit(status)


class Opener(Worker):
    """Opens a transform, encrypts a block under it and closes it."""

    PLAIN, IV = bytes(range(64)), bytes(16)

    def __init__(self, slots, index, seed, blobs, expected):
        super().__init__(slots, index, seed)
        self.blobs, self.expected = blobs, expected

    @staticmethod
    def encrypt(blob):
        with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as alg:
            alg.bind(("skcipher", "cbc(paes)"))
            alg.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, blob)
            op, _ = alg.accept()
            with op:
                op.sendmsg_afalg([Opener.PLAIN], iv=Opener.IV,
                                 op=socket.ALG_OP_ENCRYPT)
                return op.recv(len(Opener.PLAIN))

    def turn(self):
        which = self.random.randrange(len(self.blobs))
        self.enters()
        try:
            data = self.encrypt(self.blobs[which])
        except OSError as error:
            self.leaves()
            if error.errno in MAY_OPEN:
                self.count(REFUSED)
            else:
                note(f"opener {self.index}: {error}")
                self.count(OTHER, error.errno)
            time.sleep(self.random.uniform(0.02, 0.2))
            return
        self.leaves()
        if data == self.expected[which]:
            self.count(GOOD)
        else:
            note(f"opener {self.index}: wrong ciphertext under blob {which}")
            self.count(WRONG)


class Writer(Worker):
    """Writes and reads a volume, and opens it anew when it has died.

    A sector says which it is and which write it is of: the last that was
    acknowledged, or one that failed after that.
    """

    def __init__(self, slots, index, seed, device, name):
        super().__init__(slots, index, seed)
        self.device, self.name, self.fd = device, name, -1
        self.mark = hashlib.sha256(name.encode()).digest()[:8]
        self.acked = [0] * (BLOCKS * SPAN)
        self.failed = [set() for _ in range(BLOCKS * SPAN)]
        self.generation = 0
        self.buffer = mmap.mmap(-1, BLOCK)

    def sector(self, number, generation):
        return (self.mark + struct.pack("<2Q", number, generation)
                + b"vr-chaos") * (SECTOR // 32)

    def tool(self, *words):
        """vaultring luks; what it says only if it takes too long."""
        self.enters()
        try:
            done = subprocess.run(["vaultring", "luks", *words], timeout=BOUND,
                                  stdin=subprocess.DEVNULL, check=False,
                                  capture_output=True).returncode == 0
        except subprocess.TimeoutExpired:
            note(f"{self.name}: luks {' '.join(words)} takes too long")
            done = False
        self.leaves()
        return done

    def open(self):
        path = f"/dev/mapper/{self.name}"
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if os.path.exists(path):
            self.tool("close", self.name)
        if not self.tool("open", self.device, self.name):
            time.sleep(0.5)
            return False
        self.fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        return True

    def turn(self):
        if self.fd < 0 and not (self.open() and self.check_all()):
            return
        block = self.random.randrange(BLOCKS)
        self.enters()
        try:
            if self.random.randrange(4):
                self.write(block)
            else:
                self.read(block)
        except OSError as error:
            self.dies(error)
        self.leaves()

    def dies(self, error):
        if error.errno == errno.EIO or error.errno in MAY:
            self.count(REFUSED)
        else:
            note(f"{self.name}: {error}")
            self.count(OTHER, error.errno)
        os.close(self.fd)
        self.fd = -1

    def write(self, block):
        first = block * SPAN
        self.generation += 1
        for number in range(first, first + SPAN):
            self.failed[number].add(self.generation)
        self.buffer[:] = b"".join(self.sector(number, self.generation)
                                  for number in range(first, first + SPAN))
        if os.pwritev(self.fd, [self.buffer], block * BLOCK) != BLOCK:
            raise OSError(errno.EIO, "a short write")
        for number in range(first, first + SPAN):
            self.acked[number] = self.generation
            self.failed[number].clear()
        self.count(GOOD)

    def read(self, block):
        if os.preadv(self.fd, [self.buffer], block * BLOCK) != BLOCK:
            raise OSError(errno.EIO, "a short read")
        for i in range(SPAN):
            self.judge(block * SPAN + i,
                       self.buffer[i * SECTOR:(i + 1) * SECTOR])
        self.count(GOOD)

    def judge(self, number, data):
        generation, = struct.unpack_from("<Q", data, 16)
        if generation and data == self.sector(number, generation) and (
                generation == self.acked[number] or
                generation in self.failed[number]):
            self.acked[number] = generation
            self.failed[number].clear()
        elif self.acked[number]:
            if self.values[WRONG] < 10:
                note(f"{self.name}: sector {number} should be of write "
                     f"{self.acked[number]} and begins with "
                     f"{bytes(data[:32]).hex()}")
            self.count(WRONG)
        # Else it was never written for certain, and may hold anything.

    def check_all(self):
        self.enters()
        try:
            for block in range(BLOCKS):
                self.read(block)
        except OSError as error:
            self.dies(error)
        self.leaves()
        return self.fd >= 0

    def finish(self):
        """All is well again: what was acknowledged is there."""
        deadline = time.monotonic() + BOUND
        while not (self.open() and self.check_all()):
            if time.monotonic() > deadline:
                note(f"{self.name}: cannot be opened when all is over")
                self.count(OTHER, errno.ETIMEDOUT)
                return
        os.close(self.fd)

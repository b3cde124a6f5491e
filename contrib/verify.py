#!/usr/bin/env python3
"""Verifies a Tachograph ledger or bundle, offline: an independent reading of docs/FORMAT.md.
Python 3.11, standard library only. It shares no code with tacho-verify and must give the same verdict, rule and place
on the same bytes. Numbers in parentheses are FORMAT.md's sections."""
import argparse, base64, bisect, functools, glob, hashlib, json, os, re, struct, sys, unicodedata

class Broken(ValueError): pass  # a rule of section 7 that does not hold: rule, detail
def need(holds, rule, detail=""):
    if not holds:
        raise Broken(rule, detail)
def attempt(rule, function, *args):
    try:
        return function(*args)
    except ValueError as error:
        raise Broken(rule, str(error)) from None

# --- Hashes, CRC-32C and the tree (2, 3) ---
CRC = list(range(256))
for _ in range(8):
    CRC = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in CRC]
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF
def be(data): return int.from_bytes(data, "big")
def zero(data, start=0): return data.count(0, start) == len(data) - min(start, len(data))
def sha256(*parts): return hashlib.sha256(b"".join(parts)).digest()
def grow(tree, leaf):  # A tree is the list of its complete subtrees, largest first: (height, hash)
    height = 0
    while tree and tree[-1][0] == height:
        leaf, height = sha256(b"\1", tree.pop()[1], leaf), height + 1
    tree.append((height, leaf))
def root(tree):
    hashes = [digest for _, digest in reversed(tree)] or [sha256()]
    return functools.reduce(lambda right, left: sha256(b"\1", left, right), hashes)
def path_root(leaf, index, size, path):  # RFC 6962, 2.1.1, read backwards; None if the length is wrong
    if size == 1 or not path:
        return leaf if size == 1 and not path else None
    split = 1 << (size - 1).bit_length() - 1
    left = index < split
    below = path_root(leaf, index if left else index - split, split if left else size - split, path[:-1])
    return below and (sha256(b"\1", below, path[-1]) if left else sha256(b"\1", path[-1], below))
def grown_roots(old, new, path, known):  # 2.1.2, read backwards: the roots of both sizes; None if the length is wrong
    if old == new or not path:
        first = [known, *path] if known else path
        return first * 2 if old == new and len(first) == 1 else None
    split = 1 << (new - 1).bit_length() - 1
    if old <= split:
        below = grown_roots(old, split, path[:-1], known)
        return below and [below[0], sha256(b"\1", below[1], path[-1])]
    below = grown_roots(old - split, new - split, path[:-1], None)
    return below and [sha256(b"\1", path[-1], digest) for digest in below]

# --- Canonical CBOR (3) ---
def cbor(data, at=0, level=0):  # (item, end)
    need(at < len(data), "record-cbor", "truncated")
    major, n, at = data[at] >> 5, data[at] & 31, at + 1
    need(n < 24 or n < 28 and major < 7, "record-cbor", "indefinite length, float or reserved")
    if n >= 24:
        width = 1 << n - 24
        n, at = be(data[at:at + width]), at + width
        need(at <= len(data) and n >= (24 if width == 1 else 1 << 4 * width), "record-cbor", "not the shortest form")
    need(major not in (2, 3) or at + n <= len(data), "record-cbor", "truncated")
    need((major != 1 or n < 1 << 63) and (major != 7 or n in (20, 21, 22)), "record-cbor", "an unknown value")
    need(major not in (4, 5, 6) or major != 6 and level < 16, "record-cbor", "a tag, or nested too deeply")
    if major in (0, 1, 7):
        return (n if major == 0 else -1 - n if major == 1 else (False, True, None)[n - 20]), at
    if major in (2, 3):
        return data[at:at + n] if major == 2 else attempt("record-cbor", data[at:at + n].decode), at + n
    items, entries, before = [], {}, b""
    for _ in range(n):
        start, (item, at) = at, cbor(data, at, level + 1)
        items.append(item)
        if major == 5:
            need(type(item) is str and before < data[start:at], "record-cbor", "a key is no text, or out of order")
            before = data[start:at]
            entries[item], at = cbor(data, at, level + 1)
    return (items if major == 4 else entries), at

# --- Ed25519 (RFC 8032), verification only ---
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)
def point(encoded):
    sign, y = divmod(int.from_bytes(encoded, "little"), 1 << 255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * ROOT % P
    x = x if x & 1 == sign else -x % P
    return (x, y, 1, x * y % P) if x * x % P == square else None
def add(a, b):
    u, v, w, z = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0]), 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = (v - u) % P, (z - w) % P, (z + w) % P, (v + u) % P
    return e * f % P, g * h % P, f * g % P, e * h % P
BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
def ed25519(public, message, signature):
    key, s = point(public), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or key is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus, total = (-key[0] % P, key[1], 1, -key[3] % P), (0, 1, 1, 0)
    terms = None, BASE, minus, add(BASE, minus)
    for bit in range(252, -1, -1):  # s * BASE - h * key, both at once
        total, term = add(total, total), terms[(s >> bit & 1) + 2 * (h >> bit & 1)]
        total = add(total, term) if term else total
    x, y = (n * pow(total[2], -1, P) % P for n in total[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]

# --- Names, keys and notes (2, 4) ---
def is_name(name):
    bad = any(c.isspace() or c == "+" or unicodedata.category(c) == "Cc" for c in name)
    return 1 <= len(name.encode()) <= 255 and not bad
def unbase64(text, rule):
    data = attempt(rule, base64.b64decode, text, None, True)
    need(base64.b64encode(data).decode() == text, rule, "not canonical base64")
    return data
def parse_key(text, algorithm, rule):  # (name, key hash, algorithm, public key)
    need(type(text) is str and text.count("+") >= 2, rule, "not a verifier key")
    name, hex8, encoded = text.split("+", 2)
    key = unbase64(encoded, rule)
    key_hash = sha256(name.encode(), b"\n", key)[:4]
    need(len(key) == 33 and key[0] == algorithm and is_name(name) and key_hash.hex() == hex8, rule, "not such a key")
    return name, key_hash, algorithm, key[1:]

class Note:  # A signed checkpoint
    def __init__(self, data):
        rule = "checkpoint-note"
        need(len(data) <= 65536, rule, "too long")
        shape = r"((.+)\n(0|[1-9][0-9]{0,19})\n(.+)\n)\n((?:\u2014 [^ \n]+ .+\n){1,16})"
        found = re.fullmatch(shape, attempt(rule, data.decode))
        need(found and is_name(found[2]) and int(found[3]) < 1 << 64, rule, "not a signed checkpoint")
        self.text, self.origin, self.size, self.root = found[1], found[2], int(found[3]), unbase64(found[4], rule)
        lines = [line.split(" ", 2) for line in found[5][:-1].split("\n")]
        self.lines = [(name, unbase64(data, rule)) for _, name, data in lines]
        good = all(is_name(name) and len(data) > 4 for name, data in self.lines)
        need(good and len(self.root) == 32, rule, "a signature or the root is none")
    def by(self, key):  # For each line that bears the key's name and hash: whether it holds
        for data in (data for name, data in self.lines if (name, data[:4]) == key[:2]):
            head = f"cosignature/v1\ntime {be(data[4:12])}\n" if key[2] == 4 else ""
            yield ed25519(key[3], (head + self.text).encode(), data[12 if head else 4:])

# --- Frames (2) ---
def frame(data, at):  # (kind, body, end), or None where the frames end
    length, left = be(data[at:at + 4]), len(data) - at
    if left < 4 or length == 0:
        return need(zero(data, at), "frame-length" if left < 4 else "tail-not-zero")
    need(length <= min((1 << 20) + 64, left - 9), "frame-length")
    end = at + 9 + length
    need(crc32c(data[at + 8:end]) == be(data[at + 4:at + 8]), "frame-crc")
    need(data[at + 8] in b"BPRCIGK", "frame-kind")
    return chr(data[at + 8]), data[at + 9:end], end
def batch(body):  # (number, offset)
    return struct.unpack(">QQ", body[8:]) if len(body) == 24 and body[:8] == b"TACHOBAT" else None
LATER = re.compile(rb"(?s)(?=\0\0\0\x18(....)(BTACHOBAT(.{8})(.{8})))")
def later_batch(data, start, least):  # Whether a whole B frame stands where it says, at or after `start`
    return any(be(m[3]) >= least and be(m[4]) == m.start() and crc32c(m[2]) == be(m[1])
               for m in LATER.finditer(data, start))

# --- Records (3) ---
def shape(value):  # What a field's value is compared by: the number of bytes, "U", or the type
    return len(value) if type(value) is bytes else "U" if type(value) is int and value >= 0 else type(value)
FIELDS = dict(v="U", kind=str, seq="U", at="U", sess="U", of="U", run=16, rseq="U", rprev=32, body=dict, pay=list)
def read_record(data):
    need(len(data) <= 65535, "record-size")
    record, end = cbor(data)
    need(end == len(data), "record-cbor", "bytes after the item")
    need(type(record) is dict and all(shape(v) == FIELDS.get(k) for k, v in record.items()), "record-header")
    need(record.keys() >= {"v", "kind", "seq", "at", "body"} and record["v"] == 1, "record-header")
    linked, pays = len(record.keys() & {"run", "rseq", "rprev"}), record.get("pay", [None])
    pays = [list(map(shape, pay)) == [32, 32, "U"] if type(pay) is list else "pay" not in record for pay in pays]
    need(linked in (0, 3) and pays and all(pays), "record-header")
    return record

class Reader:  # What ledgers and bundles have in common. If a rule breaks, it broke at (segment, at, seq)
    def __init__(self, anchor=None, witnesses=(), known=()):
        self.anchor, self.witnesses, self.known = anchor, witnesses, known
        self.runs, self.pending, self.matched, self.keys, self.seqs, self.origin = {}, [], set(), [], [], None
        self.segment = self.at = self.seq = self.checkpoints = self.rotations = 0
        self.covered = self.witnessed = None
    def record(self, data, exact):  # Checks a record by itself and in its run. Returns it with its leaf hash
        record, leaf = read_record(data), sha256(b"\0", data)
        kind, seq, run = record["kind"], record["seq"], record.get("run")
        need(seq == self.seq if exact else seq >= self.seq or run and not self.run, "record-seq", f"it says {seq}")
        need(record.get("of", -1) < seq, "record-of")
        need([(digest, size) for digest, _, size in record.get("pay", [])] == self.pending, "payload-digest")
        self.pending = []
        need((kind == "genesis") == (seq == 0), "genesis")
        need(kind not in (("genesis", "epoch", "tombstone") if run else ("open", "close")), "run-field")
        if run:
            self.in_run(run, kind, record, leaf)
        return record, leaf
    def in_run(self, run, kind, record, leaf):
        need(kind == "open" or run in self.runs, "run-open", "it does not begin with open")
        need(self.runs.get(run, True), "run-closed")
        need(kind != "open" or run not in self.runs, "run-open", "it is opened twice")
        size, tree, last = self.runs.get(run) or (0, [], bytes(32))
        need(record["rseq"] == size, "run-sequence")
        need(record["rprev"] == last, "run-chain")
        if kind == "close":
            need([shape(record["body"].get("count")), record["body"].get("count")] == ["U", size], "close-count")
            need(record["body"].get("root") == root(tree), "close-root")
        grow(tree, leaf)
        self.runs[run] = None if kind == "close" else (size + 1, tree, leaf)
    def genesis(self, body):
        key = parse_key(body.get("key"), 1, "genesis")
        need(key[0] == body.get("origin"), "genesis")
        need(self.origin in (None, key[0]), "segment-origin")
        need(self.anchor in (None, key), "key-anchor")
        need(all(note.origin == key[0] for note in self.known), "known-checkpoint", "it is of another ledger")
        self.origin, self.keys = key[0], [key]
        self.at_size(0, root([]))
    def epoch_key(self, body):
        key = parse_key(body["key"], 1, "epoch-key") if "key" in body else None
        return key if not key or key[0] == self.origin else need(False, "epoch-key")
    def at_size(self, size, digest):
        for i, note in enumerate(self.known):
            if note.size == size:
                need(note.root == digest, "known-checkpoint", f"another root at {size}")
                self.matched.add(i)
    def signed(self, note, keys):
        need(note.origin == self.origin, "checkpoint-origin")
        lines = [holds for key in keys for holds in note.by(key)]
        need(lines and all(lines), "checkpoint-signature")
    def cosigned(self, note):
        lines = [holds for key in self.witnesses for holds in note.by(key)]
        need(all(lines), "cosignature")
        self.witnessed = max(self.witnessed or 0, note.size) if lines else self.witnessed
    def after(self, size):  # How many of the subject's records
        return None if size is None else len(self.seqs) - bisect.bisect_left(self.seqs, size)
    def report(self, **more):
        need(len(self.matched) == len(self.known), "known-checkpoint", "never reached")
        for note in self.known:
            self.cosigned(note)
        self.witnessed = self.witnessed if (self.witnessed or 0) > self.seqs[0] else None  # it ends before them
        need(self.witnessed is not None or not self.witnesses, "not-witnessed")
        known = max((note.size for note in self.known), default=None)
        return dict(verified=True, origin=self.origin, anchored=self.anchor is not None, witnessed=self.witnessed,
                    after_witnessed=self.after(self.witnessed), known=len(self.known), known_size=known,
                    after_known=self.after(known), runs=len(self.runs), open_runs=sum(map(bool, self.runs.values())),
                    checkpoints=self.checkpoints, covered=self.covered, rotations=self.rotations, **more)

class Ledger(Reader):
    def verify(self, segments, last):  # (number, bytes) in order; the number of the last one in use
        self.tree, self.next_key, self.ended, self.count, self.batches, size = [], None, False, 0, 0, 0
        for self.segment, data in segments:
            if zero(data):
                self.ended = True
                continue
            self.at = 0
            self.header(data)
            self.at = 512
            while found := self.next_frame(data, self.segment == last):
                self.frame(*found[:2])
                self.at = found[2]
            need(not self.pending, "payload-orphan")
            self.count, size = self.count + 1, size + self.at
        self.segment = max(0, self.count - 1)
        need(self.seq, "empty")
        need(self.covered is not None, "no-checkpoint")
        need(self.seq - self.covered <= 4096, "open-tail")
        self.seqs = range(self.seq)
        return self.report(subject="ledger", records=self.seq, bytes=size, open=self.seq - self.covered,
                           root=root(self.tree).hex())
    def header(self, data):
        need(len(data) >= 512 and data[:8] == b"TACHOSEG" and crc32c(data[:508]) == be(data[508:512]), "segment-header")
        version, number, first_seq, first_batch, length = struct.unpack(">IQQQH", data[8:38])
        origin = attempt("segment-header", data[38:38 + length].decode)
        need(version == 1 and is_name(origin) and zero(data[38 + length:508]), "segment-header")
        due = self.count, self.count, self.seq, self.batches
        need(not self.ended and (self.segment, number, first_seq, first_batch) == due, "segment-order")
        need(self.origin in (None, origin), "segment-origin")
        self.origin = origin
    def next_frame(self, data, is_last):
        try:
            return frame(data, self.at)
        except Broken as broken:
            torn = is_last and broken.args[0] != "frame-kind" and not later_batch(data, self.at, self.batches)
            raise Broken("torn-tail", "") if torn else broken
    def frame(self, kind, body):
        need(self.at != 512 or kind == "B", "batch-missing")
        need(kind in "BPRC", "frame-kind")
        need(kind in "PR" or not self.pending, "payload-orphan")
        if kind == "B":
            need(batch(body), "batch-frame")
            need(batch(body)[0] == self.batches, "batch-order")
            need(batch(body)[1] == self.at, "batch-offset")
            self.batches += 1
        elif kind == "R":
            record, leaf = self.record(body, True)
            if record["kind"] == "genesis":
                self.genesis(record["body"])
            if record["kind"] == "epoch" and (key := self.epoch_key(record["body"])):
                need(not self.next_key, "epoch-key", "no checkpoint since the last change")
                self.next_key = key
            grow(self.tree, leaf)
            self.at_size(self.seq + 1, self.known and root(self.tree))
            self.seq += 1
        elif kind == "C":
            self.checkpoint(Note(body))
        else:
            self.pending.append((sha256(body), len(body)))
    def checkpoint(self, note):
        need(self.keys, "genesis", "a checkpoint comes before it")
        self.signed(note, self.keys)
        need(note.size == self.seq, "checkpoint-size")
        need(note.root == root(self.tree), "checkpoint-root")
        self.cosigned(note)
        if self.next_key:
            self.keys, self.next_key, self.rotations = [self.next_key], None, self.rotations + 1
        self.covered, self.checkpoints = note.size, self.checkpoints + 1

class Bundle(Reader):  # (6)
    def verify(self, data):
        need(re.match(rb"TACHOBUN\0\0\0[\1\2\3]\0\0\0\0", data), "bundle-header")
        self.version, self.due, self.link = data[11], "", None
        self.sealed = self.run = self.key = None
        self.records, self.commitments, self.at = 0, set(), 16
        while found := frame(data, self.at):
            self.frame(*found[:2])
            self.at = found[2]
        need(self.at == len(data), "bundle-order", "bytes follow the last frame")
        need(not self.pending, "payload-orphan")
        need(self.sealed and self.run and not self.due, "bundle-order", "something is missing")
        need(self.sealed.origin == self.origin, "checkpoint-origin")
        first_over = self.link and self.link.size == self.sealed.size  # which only a link says
        need(not first_over or self.link.root == self.sealed.root, "checkpoint-root")
        self.signed(self.sealed, self.keys[-2:-1] if first_over else self.keys[-2 if self.version == 1 else -1:])
        committed = {sha256(b"tacho key commitment v1", self.key)} if self.key else self.commitments
        need(self.commitments == committed, "bundle-key")
        self.at_size(self.sealed.size, self.sealed.root)
        self.cosigned(self.sealed)
        self.covered, self.checkpoints, self.rotations = self.sealed.size, 1, len(self.keys) - 1
        report = self.report(subject="bundle", run=self.run.hex(), complete=self.runs[self.run] is None, bytes=self.at,
                             records=self.records, run_records=len(self.seqs), open=0, root=self.sealed.root.hex())
        # In version 1 anybody could have named the keys after the first, in 2 the last one replaced what is before it
        if self.rotations and self.version < 3 and (not self.link or self.seqs[0] < self.link.size):
            seen = self.sealed.size in (report["known_size"], self.witnessed)  # an older tree is not joined to this
            need(seen or not self.anchor, "key-anchor", "see --known")
            print(f"warning: in a bundle of version {self.version} --key says nothing of this run", file=sys.stderr)
            report["anchored"] = False
        return report
    def frame(self, kind, body):
        need(self.sealed or kind == "C", "bundle-order", "the first frame is not a checkpoint")
        need(self.due in ("", kind), "bundle-order", f"a record or key has no {self.due} frame")
        need(kind != "B", "frame-kind")
        if kind == "C":
            need(not self.sealed or self.due, "bundle-order", "a second checkpoint")
            self.link_of_key(Note(body)) if self.sealed else setattr(self, "sealed", Note(body))
        elif kind == "P":
            self.pending.append((sha256(body), len(body)))
        elif kind == "R":
            record, leaf = self.record(body, False)
            self.place(record, record.get("run"))
            self.due, self.leaf, self.tree = "I", (record["seq"], leaf), self.sealed
            self.names_key = record["kind"] == "epoch"
        elif kind in "IG":
            need(self.due, "bundle-order", "a proof without its record or link")
            self.inclusion(body, *self.leaf) if kind == "I" else self.growth(body, self.link)
        else:
            need(not self.key and len(body) == 32, "bundle-key")
            need(not self.pending, "payload-orphan")
            self.key = body
    def place(self, record, run):  # Genesis, the epochs with a key, then the run
        if run:
            need(self.keys and self.run in (None, run), "bundle-order", "before genesis, or of another run")
            self.run = run
            self.seqs.append(record["seq"])
            self.commitments.update(key for _, key, _ in record.get("pay", []))
        elif record["kind"] == "genesis":
            self.genesis(record["body"])
        else:
            need(not self.run and self.keys and record["kind"] == "epoch", "bundle-order", "it does not belong here")
            need(key := self.epoch_key(record["body"]), "bundle-order", "an epoch without a key")
            need(not self.link or self.link.size <= record["seq"], "epoch-key", "no checkpoint since the last change")
            self.keys.append(key)
    def link_of_key(self, note):  # The checkpoint by which the key before it vouches for the last one
        self.signed(note, self.keys[-2:-1])
        need(self.leaf[0] < note.size <= self.sealed.size, "checkpoint-size")
        self.due, self.tree, self.link = "I", note, note
    def path(self, body, of):
        count = be(body[8:10])
        need(len(body) == 10 + 32 * count and count <= 65 and be(body[:8]) == of, "bundle-proof")
        return [body[i:i + 32] for i in range(10, len(body), 32)]
    def inclusion(self, body, seq, leaf):
        path = self.path(body, seq)
        need(seq < self.tree.size and path_root(leaf, seq, self.tree.size, path) == self.tree.root, "bundle-proof")
        if self.tree is self.sealed:
            self.seq, self.records = seq + 1, self.records + 1
            self.due = "C" if self.names_key and self.version > 1 else ""
        else:
            self.due = "G" if self.version > 2 else ""
    def growth(self, body, link):
        both = grown_roots(link.size, self.sealed.size, self.path(body, link.size), link.root)
        need(both == [link.root, self.sealed.root], "bundle-proof", "what the key before signed is no part of this tree")
        self.at_size(link.size, link.root)
        self.due = ""

# --- Files and the command (1, 7) ---
def read(path, size=-1, most=1 << 30):
    if not os.path.isfile(path) or os.path.getsize(path) > most:
        raise OSError(f"{path}: no regular file, or one of more than {most} bytes")
    return open(path, "rb").read(size)
def judge(reader, *args):  # The report, whichever way it goes
    try:
        return reader.verify(*args)
    except Broken as broken:
        report = dict(zip(("rule", "detail"), broken.args), verified=False)
        return dict(report, segment=reader.segment, offset=reader.at, seq=reader.seq)
def verify(path, anchor=None, witnesses=(), known=()):  # A report, or OSError
    if os.path.isfile(path) and read(path, 5, 4 << 30) == b"TACHO":
        return judge(Bundle(anchor, witnesses, known), read(path, -1, 4 << 30))
    for inside in ("segment", "ledger/segment", "."):
        folder = os.path.join(path, inside)
        names = sorted(glob.glob("[0-9]" * 10 + ".seg", root_dir=folder))
        paths = {int(name[:10]): os.path.join(folder, name) for name in names}
        beside = os.path.dirname(folder)
        copies = ["checkpoint", *sorted(glob.glob("witness/" + "[0-9a-f]" * 8, root_dir=beside))]
        if paths:
            for number, copy in enumerate(copies if inside != "." else []):  # read first: never ahead of segments
                path = os.path.join(beside, copy)
                try:
                    need(number <= 64, "they are too many")
                    known = [*known, Note(read(path, 65537))] if os.path.exists(path) else known
                except Broken as broken:
                    print(f"warning: the file `{copy}` was not used:", *broken.args, file=sys.stderr)
            last = max((number for number in paths if not zero(read(paths[number], 512))), default=0)
            return judge(Ledger(anchor, witnesses, known), ((n, read(paths[n])) for n in paths), last)
    raise OSError(f"{path}: neither a ledger nor a bundle")
def main():
    parser = argparse.ArgumentParser(description="Verifies a Tachograph ledger directory or bundle, offline.")
    parser.add_argument("path")
    parser.add_argument("--key", help="the ledger's first verifier key, known from elsewhere")
    parser.add_argument("--witness", action="append", default=[], help="a witness's verifier key (repeatable)")
    parser.add_argument("--known", action="append", default=[], help="a checkpoint to continue (repeatable)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        anchor = args.key and parse_key(args.key, 1, "--key")
        witnesses = [parse_key(key, 4, "--witness") for key in args.witness]
        report = verify(args.path, anchor, witnesses, [Note(open(path, "rb").read(65537)) for path in args.known])
    except Broken as broken:
        parser.error(": ".join(broken.args))
    except (OSError, MemoryError) as error:
        report = dict(error=str(error) or "too little memory")
    print(json.dumps(dict(report, version=1), indent=None if args.json else 4))
    sys.exit({True: 0, False: 1, None: 3}[report.get("verified")])

if __name__ == "__main__":
    main()

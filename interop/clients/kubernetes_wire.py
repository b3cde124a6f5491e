"""What kubectl would not say, to the API server that KUBECONFIG names: raw requests, and frames of WebSocket and SPDY.

Each case prints what came, a line for each thing that a test looks at.
"""

import base64
import json
import os
import socket
import ssl
import struct
import sys
import time
import urllib.parse
import zlib

CONFIG = json.load(open(os.environ["KUBECONFIG"]))
CLUSTER = CONFIG["clusters"][0]["cluster"]
TOKEN = CONFIG["users"][0]["user"]["token"]
URL = urllib.parse.urlsplit(CLUSTER["server"])
POD = "/api/v1/namespaces/default/pods/box"


def dial():
    authority = base64.b64decode(CLUSTER["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    return context.wrap_socket(socket.create_connection((URL.hostname, URL.port), timeout=30), server_hostname=URL.hostname)


def path(words, streams=("stdout", "stderr"), tty=False):
    pairs = [("command", word) for word in words] + [(name, "true") for name in streams] + [("tty", str(tty).lower())]
    return f"{POD}/exec?{urllib.parse.urlencode(pairs)}"


def ask(method, target, *fields, body=b""):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {URL.netloc}", f"Authorization: Bearer {TOKEN}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
V4 = (*WEBSOCKET, "Sec-WebSocket-Protocol: v4.channel.k8s.io")
SPDY = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
FORWARD = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io")


def head(stream):
    """The head of an answer, and its status."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        byte = stream.recv(1)
        if not byte:
            sys.exit(f"the end in a head: {seen!r}")
        seen += byte
    return int(seen.split(b" ")[1]), seen.decode()


def rest(stream, seconds=10):
    """All that comes until the other side closes, or says nothing more."""
    stream.settimeout(seconds)
    seen = b""
    try:
        while data := stream.recv(65536):
            seen += data
    except (TimeoutError, ConnectionError, ssl.SSLError) as why:
        if isinstance(why, TimeoutError):
            print("still open")
    return seen


def exactly(stream, n):
    seen = b""
    while len(seen) < n:
        data = stream.recv(n - len(seen))
        if not data:
            raise EOFError
        seen += data
    return seen


def opened(method, target, fields):
    stream = dial()
    stream.sendall(ask(method, target, *fields))
    status, said = head(stream)
    if status != 101:
        sys.exit(f"not switched: {said}{rest(stream, 1)!r}")
    return stream


# WebSocket: RFC 6455, 5.2.


def message(payload, opcode=2, fin=True, masked=True, reserved=0, length=None):
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mark = 0x80 if masked else 0
    if size < 126:
        out = struct.pack(">BB", first, mark | size)
    elif size < 65536:
        out = struct.pack(">BBH", first, mark | 126, size)
    else:
        out = struct.pack(">BBQ", first, mark | 127, size)
    key = b"\x01\x02\x03\x04"
    if masked:
        out += key
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return out + payload


def frame(stream):
    """One frame of the other side's: opcode and payload. None: the end."""
    try:
        first, second = exactly(stream, 2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", exactly(stream, 2))
        elif size == 127:
            (size,) = struct.unpack(">Q", exactly(stream, 8))
        return first & 0x0F, exactly(stream, size)
    except (EOFError, ConnectionError, ssl.SSLError):
        return None


def channels(stream):
    """All that comes until the close, by channel."""
    said = {}
    while (one := frame(stream)) is not None:
        opcode, payload = one
        if opcode == 8:
            said["close"] = payload[:2].hex()
            break
        if opcode in (1, 2) and payload:
            said[payload[0]] = said.get(payload[0], b"") + payload[1:]
    return said


# SPDY/3.1: 2.2 (frames) and 2.6.10 (headers). Blocks are stored, in a stream that names the dictionary and uses nothing of it.


class Spdy:
    def __init__(self, target, fields=SPDY, method="POST"):
        self.stream = opened(method, target, fields)
        self.begun = False

    def block(self, headers):
        plain = struct.pack(">I", len(headers))
        for name, value in headers:
            plain += struct.pack(">I", len(name)) + name + struct.pack(">I", len(value)) + value
        out = b"" if self.begun else b"\x78\xbb\xe3\xc6\xa7\xc2"
        self.begun = True
        return out + b"\x00" + struct.pack("<HH", len(plain), 0xFFFF ^ len(plain)) + plain + b"\x00\x00\x00\xff\xff"

    def control(self, kind, payload, flags=0, version=3, length=None):
        size = len(payload) if length is None else length
        return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | size) + payload

    def open(self, number, *headers, flags=0):
        return self.control(1, struct.pack(">IIH", number, 0, 0) + self.block(headers), flags)

    def data(self, number, payload, fin=False, length=None):
        size = len(payload) if length is None else length
        return struct.pack(">II", number, (0x01000000 if fin else 0) | size) + payload

    def send(self, *frames):
        try:
            self.stream.sendall(b"".join(frames))
        except (ConnectionError, ssl.SSLError):
            # It was closed meanwhile; what came before that is read.
            pass

    def program(self, *kinds):
        """Opens the streams of an exec, one number after another, and waits for the replies."""
        for at, kind in enumerate(kinds):
            self.send(self.open(2 * at + 1, (b"streamtype", kind)))
        waits = len(kinds)
        while waits:
            one = self.next()
            if one is None:
                sys.exit("the end before the replies")
            waits -= one[0] == 2

    def next(self):
        """Kind (0: data), stream, flags, payload. None: the end."""
        try:
            first, second = struct.unpack(">II", exactly(self.stream, 8))
            payload = exactly(self.stream, second & 0xFFFFFF)
        except (EOFError, ConnectionError, ssl.SSLError):
            return None
        if first & 0x80000000:
            number = struct.unpack(">I", payload[:4])[0] if len(payload) >= 4 else 0
            return first & 0xFFFF, number, second >> 24, payload
        return 0, first, second >> 24, payload

    def all(self):
        """Data by stream, until the end."""
        said = {}
        while (one := self.next()) is not None:
            kind, number, _flags, payload = one
            if kind == 0:
                said[number] = said.get(number, b"") + payload
        return said


def status_of(said):
    """What a Status says, in a word."""
    if not said:
        return "no status"
    status = json.loads(said)
    return f"{status.get('status')} {status.get('message', '')}".strip()


# Cases.


def failed_upgrade():
    """An upgrade that fails, and a second request behind it: in the same piece, and after the answer."""
    for late in (False, True):
        stream = dial()
        first = ask("GET", path(["true"]).replace("/box/", "/nobody/"), *V4)
        second = ask("GET", "/api/v1/namespaces/default/configmaps/smuggled")
        stream.sendall(first if late else first + second)
        status, _ = head(stream)
        if late:
            try:
                stream.sendall(second)
            except (ConnectionError, ssl.SSLError):
                pass
        said = rest(stream)
        print("status", status, "answers behind it", said.count(b"HTTP/1.1 "))


def elsewhere():
    """An upgrade where none is: another path, a body, another protocol, none."""
    cases = {
        "get": ask("GET", "/api/v1/namespaces/default/pods/box", *V4),
        "watch": ask("GET", "/api/v1/pods?watch=true", *SPDY),
        "log": ask("GET", f"{POD}/log", *WEBSOCKET),
        "version": ask("GET", "/version", *WEBSOCKET),
        "h2c": ask("GET", path(["touch", "/tmp/upgraded"]), "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        "two": ask("GET", path(["touch", "/tmp/upgraded"]), "Connection: Upgrade", "Upgrade: websocket, SPDY/3.1"),
        "body": ask("POST", path(["touch", "/tmp/upgraded"]), *SPDY, "Content-Length: 5", body=b"hello"),
        "chunked": ask("POST", path(["touch", "/tmp/upgraded"]), *SPDY, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "none": ask("GET", path(["touch", "/tmp/upgraded"])),
        "no-connection": ask("GET", path(["touch", "/tmp/upgraded"]), "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"),
        "old-protocol": ask("GET", path(["touch", "/tmp/upgraded"]), *WEBSOCKET, "Sec-WebSocket-Protocol: channel.k8s.io"),
        "no-protocol": ask("GET", path(["touch", "/tmp/upgraded"]), *WEBSOCKET),
        "spdy-v1": ask("POST", path(["touch", "/tmp/upgraded"]), "Connection: Upgrade", "Upgrade: SPDY/3.1"),
    }
    for name, bytes_ in cases.items():
        stream = dial()
        stream.sendall(bytes_)
        print(name, head(stream)[0])
        stream.close()


def websocket_exec():
    """A whole exec over WebSocket's own frames: with a ping and pieces of a message between."""
    stream = opened("GET", path(["cat"], ("stdin", "stdout", "stderr")), V4)
    text = b"piece by piece\n"
    stream.sendall(message(b"\x00" + text[:5], fin=False) + message(b"p", opcode=9) + message(text[5:], opcode=0))
    said, pongs = b"", 0
    while text not in said:
        one = frame(stream)
        if one is None:
            sys.exit(f"the end: {said!r}")
        pongs += one == (10, b"p")
        if one[0] == 2 and one[1][:1] == b"\x01":
            said += one[1][1:]
    print("said", said.decode().strip(), "pongs", pongs)


def library():
    """The package `websockets`, which offers to compress, as clients of Python's do.

    Its client of `asyncio`: the one of `websockets.sync` reads and writes one TLS connection in two threads, which Python before
    3.13 does not guard, and loses an answer in some hundred connections to any server.
    """
    import asyncio

    from websockets.asyncio.client import connect

    context = ssl.create_default_context(cadata=base64.b64decode(CLUSTER["certificate-authority-data"]).decode())
    target = f"wss://{URL.netloc}{path(['sh', '-c', 'read line; echo got $line; echo err >&2; exit 9'], ('stdin', 'stdout', 'stderr'))}"
    named = {"subprotocols": ["v4.channel.k8s.io"], "additional_headers": {"Authorization": f"Bearer {TOKEN}"}}

    async def talk():
        said = {}
        async with connect(target, ssl=context, open_timeout=60, close_timeout=60, **named) as socket_:
            print("protocol", socket_.subprotocol)
            await socket_.send(b"\x00hello\n")
            async for one in socket_:
                if one:
                    said[one[0]] = said.get(one[0], b"") + one[1:]
            print("closed", socket_.close_code)
        print(said.get(1), said.get(2), json.loads(said[3])["details"]["causes"][0]["message"])

    asyncio.run(talk())


def websocket_bad():
    """One bad thing a connection; each begins with a program that waits for its input."""
    for name, sent in {
        "wrong-channel": message(b"\x07x"),
        "stdout-from-client": message(b"\x01x"),
        "resize-without-tty": message(b'\x04{"Width":1,"Height":1}'),
        "close-in-v4": message(b"\xff\x00"),
        "empty": message(b""),
        "unmasked": message(b"\x00x", masked=False),
        "reserved": message(b"\x00x", reserved=4),
        "opcode": message(b"\x00x", opcode=3),
        "continuation": message(b"\x00x", opcode=0),
        "long-ping": message(b"p" * 200, opcode=9),
        "length": message(b"", length=(1 << 63) + 5),
        "large": message(b"", length=1 << 40),
    }.items():
        stream = opened("GET", path(["cat"], ("stdin", "stdout", "stderr")), V4)
        stream.sendall(sent)
        said = channels(stream)
        print(name, "|", status_of(said.get(3)), "|", said.get(1, b"").decode())
        stream.close()


def spdy_bad():
    kinds = (b"error", b"stdin", b"stdout", b"stderr")
    word = (b"streamtype", b"stdin")
    cases = {
        "version": lambda s: [s.control(6, struct.pack(">I", 1), version=2)],
        "kind": lambda s: [s.control(5, b"")],
        "length": lambda s: [s.control(1, b"x" * 64, length=0xFFFFFF)],
        "stream-zero": lambda s: [s.data(0, b"x")],
        "even": lambda s: [s.open(10, (b"streamtype", b"resize"))],
        "unknown-stream": lambda s: [s.data(99, b"x")],
        "second": lambda s: [s.open(9, word)],
        "same-number": lambda s: [s.open(3, word)],
        "not-asked": lambda s: [s.open(9, (b"streamtype", b"resize"))],
        "no-such-type": lambda s: [s.open(9, (b"streamtype", b"control"))],
        "two-headers": lambda s: [s.open(9, (b"streamtype", b"resize"), (b"port", b"1"))],
        "its-stream": lambda s: [s.data(5, b"x")],
        "reply": lambda s: [s.control(2, struct.pack(">I", 3) + s.block([]))],
        "before-reply": lambda s: [s.data(3, b"", fin=True), s.data(3, b"late")],
        "window": lambda s: [s.control(9, struct.pack(">II", 3, 0))],
        "settings": lambda s: [s.control(4, struct.pack(">I", 0xFFFFFF))],
        "garbage": lambda s: [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4],
        "compression": lambda s: [s.control(1, struct.pack(">IIH", 9, 0, 0) + b"\xff" * 40)],
    }
    for name, bad in cases.items():
        spdy = Spdy(path(["cat"], ("stdin", "stdout", "stderr")))
        spdy.program(*kinds)
        spdy.send(*bad(spdy))
        if name == "length":
            # It is not waited for that so much comes.
            spdy.send(b"y" * 200_000)
        if name == "window":
            spdy.send(spdy.data(3, b"after", fin=True))
        said = spdy.all()
        print(name, "|", status_of(said.get(1)), "|", said.get(5, b"").decode())
        spdy.stream.close()
    # Data on a stream that nobody has replied to yet.
    spdy = Spdy(path(["cat"], ("stdin", "stdout", "stderr")))
    spdy.send(spdy.open(1, (b"streamtype", b"stdin")), spdy.data(1, b"early"))
    said = spdy.all()
    print("early", "|", status_of(said.get(1)), "|", said.get(5, b"").decode())
    spdy.stream.close()


def floods():
    """Streams without end, pings without end, and a block that would grow."""
    spdy = Spdy(path(["cat"], ("stdin", "stdout", "stderr")))
    spdy.program(b"error", b"stdin", b"stdout", b"stderr")
    spdy.send(*[spdy.control(6, struct.pack(">I", 2 * at + 1)) for at in range(20_000)])
    pongs, last = 0, 0
    while pongs < 20_000:
        one = spdy.next()
        if one is None:
            break
        pongs += one[0] == 6
    spdy.send(spdy.data(3, b"alive", fin=True))
    said = spdy.all()
    print("pings", pongs, said.get(5, b"").decode())

    forward = Spdy(f"{POD}/portforward", FORWARD)
    opens = []
    for at in range(2_000):
        headers = ((b"streamtype", b"error"), (b"port", b"1"), (b"requestid", str(at).encode()))
        opens.append(forward.open(2 * at + 1, *headers))
    forward.send(*opens)
    counted = 0
    forward.stream.settimeout(20)
    try:
        while (one := forward.next()) is not None:
            counted += 1
        print("streams: closed")
    except TimeoutError:
        print("streams: still open after", counted)

    bomb = Spdy(path(["cat"], ("stdin", "stdout", "stderr")))
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 15)
    grown = squeezed.compress(struct.pack(">I", 1) + struct.pack(">I", 10) + b"streamtype" + struct.pack(">I", 8 << 20) + b"s" * (8 << 20))
    grown += squeezed.flush(zlib.Z_SYNC_FLUSH)
    block = b"\x78\xbb\xe3\xc6\xa7\xc2" + grown[2:]
    bomb.send(bomb.control(1, struct.pack(">IIH", 1, 0, 0) + block))
    print("bomb", len(block), bomb.all())


def unread():
    """A client that asks for much and reads nothing for a while; then all of it is there."""
    spdy = Spdy(path(["head", "-c", "8000000", "/dev/zero"]))
    spdy.program(b"error", b"stdout", b"stderr")
    time.sleep(2)
    said = spdy.all()
    print("read", len(said.get(3, b"")), status_of(said.get(1)))


def many(count, at_once):
    """Commands, so many at once: each has its own status."""
    from concurrent.futures import ThreadPoolExecutor

    def one(at):
        code = at % 250
        said = channels(opened("GET", path(["sh", "-c", f"echo {at}; exit {code}"]), V4))
        status = json.loads(said.get(3, b"{}"))
        causes = (status.get("details") or {}).get("causes") or []
        ended = int(causes[0]["message"]) if causes else 0 if status.get("status") == "Success" else None
        return said.get(1) == f"{at}\n".encode() and ended == code

    with ThreadPoolExecutor(int(at_once)) as pool:
        print(sum(pool.map(one, range(int(count)))), "right")


def port(*ports):
    """Connections through one port-forward, all at once: PORT sends hello and ends."""
    forward = Spdy(f"{POD}/portforward", FORWARD)
    for at, number in enumerate(ports):
        both = ((b"port", number.encode()), (b"requestid", str(at).encode()))
        forward.send(forward.open(4 * at + 1, (b"streamtype", b"error"), *both), forward.open(4 * at + 3, (b"streamtype", b"data"), *both))
    said, ended = {}, set()
    while len(ended) < 2 * len(ports):
        one = forward.next()
        if one is None:
            break
        kind, stream, flags, payload = one
        if kind == 2 and stream % 4 == 3:
            forward.send(forward.data(stream, b"hello", fin=True))
        if kind == 0:
            said[stream] = said.get(stream, b"") + payload
        if kind == 3 or kind == 0 and flags & 1:
            ended.add(stream)
    for at, number in enumerate(ports):
        print(number, "|", said.get(4 * at + 3, b"").decode(), "|", said.get(4 * at + 1, b"").decode())


def in_channels(ports, pod=POD):
    """A port-forward in channels of WebSocket: its status, and what stands behind it."""
    stream = dial()
    query = urllib.parse.urlencode([("ports", number) for number in ports])
    stream.sendall(ask("GET", f"{pod}/portforward?{query}", *V4))
    return stream, head(stream)[0]


def port_channels(*ports):
    """Connections in channels, all at once: each PORT is sent hello. What each channel says, behind the port that it is of."""
    said_in_channels(ports, POD)


def port_channels_of(pod, *ports):
    """The same, of another pod."""
    said_in_channels(ports, POD.rsplit("/", 1)[0] + "/" + pod)


def said_in_channels(ports, pod):
    stream, status = in_channels(ports, pod)
    print("status", status)
    if status != 101:
        print(rest(stream, 1).decode())
        return
    stream.sendall(b"".join(message(bytes([2 * at]) + b"hello") for at in range(len(ports))))
    said, how = {}, "still open"
    stream.settimeout(3)
    try:
        while (one := frame(stream)) is not None and one[0] != 8:
            said[one[1][0]] = said.get(one[1][0], b"") + one[1][1:]
        how = "closed"
    except TimeoutError:
        pass
    for channel, data in sorted(said.items()):
        print(channel, struct.unpack("<H", data[:2])[0], data[2:].decode().strip())
    print(how)


def bad_port_channels(number):
    """Messages that are of no port's data."""
    for bad in [message(b"\x01words"), message(b"\x02other"), message(b"\xff"), message(b""), message(b"\x00hi", masked=False), message(b"\x00hi", reserved=4)]:
        stream, status = in_channels([number])
        # What a channel says first.
        first = [frame(stream)[1] for _ in range(2)] if status == 101 else []
        stream.sendall(bad)
        stream.settimeout(10)
        behind = frame(stream)
        print(status, len(first), behind is None or behind[0] == 8)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""Frames of HTTP/2 that no honest client sends, against the listener of a gateway.

Usage: h2_attacks.py PORT KEY OTHER_KEY
Prints a line of JSON for each: its name, and what became of it (a status, RST and its code, GOAWAY and its code, or closed).
"""
import json
import socket
import struct
import sys

import hpack

PORT, KEY, OTHER = int(sys.argv[1]), sys.argv[2], sys.argv[3]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def string(text):
    text = text if isinstance(text, bytes) else text.encode("latin-1")
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, out = len(text) - 127, b"\x7f"
    while rest >= 128:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest]) + text


def block(fields):
    """Literals, as they are: an encoder would mend them."""
    return b"".join(b"\x10" + string(n) + string(v) for n, v in fields)


def request(method="GET", path="/users/1", key=KEY, scheme="http", authority="127.0.0.1", extra=(), probe=True):
    head = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return head + ([("x-api-key", key)] if key else []) + ([("x-probe", "attack")] if probe else []) + list(extra)


def headers(fields, stream=1, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(fields))


class Peer:
    def __init__(self):
        self.sock = socket.create_connection(("127.0.0.1", PORT))
        self.sock.settimeout(20)
        self.decoder, self.buffer = hpack.Decoder(), b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def read(self):
        """The next frame; None at the end."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                    payload, self.buffer = self.buffer[9 : 9 + size], self.buffer[9 + size :]
                    return kind, flags, stream & 0x7FFFFFFF, payload
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                raise
            except OSError:
                return None
            if not more:
                return None
            self.buffer += more

    def outcome(self, stream=1):
        """What becomes of a stream: the first that is final for it."""
        while True:
            try:
                got = self.read()
            except socket.timeout:
                return "silence"
            if got is None:
                return "closed"
            kind, flags, of, payload = got
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
                if code:
                    return f"GOAWAY {code}"
            elif kind == RST and of == stream:
                return f"RST {int.from_bytes(payload[:4], 'big')}"
            elif kind == HEADERS:
                fields = dict(self.decoder.decode(payload))
                if of == stream and ":status" in fields and fields[":status"][0] != "1":
                    return fields[":status"]


def run(name, *frames, settings=True, stream=1, preface=PREFACE):
    peer = Peer()
    peer.send(preface + (frame(SETTINGS) if settings else b"") + b"".join(frames))
    print(json.dumps({"name": name, "is": peer.outcome(stream)}), flush=True)
    peer.sock.close()


def fields(name, extra, **other):
    run(name, headers(request(extra=extra, **other)))


def body(name, extra, *pieces, end=True, flags=END_HEADERS, **other):
    data = [frame(DATA, END_STREAM if end and n == len(pieces) - 1 else 0, 1, p) for n, p in enumerate(pieces)]
    run(name, headers(request("POST", "/echo", extra=extra, **other), flags=flags), *data)


NORMAL = request()
# What is right, so that the rest says something.
run("right", headers(request(probe=False)))
# 8.2, 8.3: fields.
fields("uppercase name", [("X-Upper", "1")])
fields("space in a name", [("x y", "1")])
fields("colon in a name", [("x:y", "1")])
fields("CRLF in a name", [("x\r\ny", "1")])
fields("NUL in a name", [("x\0", "1")])
fields("empty name", [("", "1")])
fields("CRLF in a value", [("x", "1\r\ny: 2")])
fields("LF in a value", [("x", "1\ny: 2")])
fields("CR in a value", [("x", "1\ry: 2")])
fields("NUL in a value", [("x", "1\0")])
fields("DEL in a value", [("x", "1\x7f")])
fields("leading space in a value", [("x", " 1")])
fields("trailing tab in a value", [("x", "1\t")])
fields("connection", [("connection", "close")])
fields("keep-alive", [("keep-alive", "timeout=5")])
fields("proxy-connection", [("proxy-connection", "keep-alive")])
fields("upgrade", [("upgrade", "h2c")])
fields("te: gzip", [("te", "gzip")])
fields("te: trailers, deflate", [("te", "trailers, deflate")])
body("transfer-encoding: chunked", [("transfer-encoding", "chunked")], b"0\r\n\r\nGET /users/2 HTTP/1.1\r\n\r\n")
body("transfer-encoding: identity", [("transfer-encoding", "identity")], b"x")
fields("a method that overrides", [("x-http-method-override", "DELETE")])
fields("a path that overrides, by CGI", [("script_name", "/users")])
fields("a path that overrides, of a proxy's", [("x-forwarded-prefix", "/users")])
fields("content_length", [("content_length", "5")])
fields("two hosts", [("host", "127.0.0.1"), ("host", "127.0.0.1")])
fields("another host", [("host", "evil.example")])
fields("two credentials", [("authorization", "Bearer x.y")])
fields("no credential", [], key=None)
fields("129 fields", [(f"x-{n}", "1") for n in range(129)])
run("duplicate :method", headers([(":method", "GET")] + NORMAL))
run("duplicate :path", headers([(":path", "/users/2")] + NORMAL))
run("duplicate :authority", headers([(":authority", "evil.example")] + NORMAL))
run("duplicate :scheme", headers([(":scheme", "http")] + NORMAL))
run("no :method", headers([f for f in NORMAL if f[0] != ":method"]))
run("no :path", headers([f for f in NORMAL if f[0] != ":path"]))
run("no :scheme", headers([f for f in NORMAL if f[0] != ":scheme"]))
run("no :authority", headers([f for f in NORMAL if f[0] != ":authority"]))
run("unknown pseudo", headers([(":evil", "1")] + NORMAL))
run(":status in a request", headers([(":status", "200")] + NORMAL))
run(":protocol", headers([(":protocol", "websocket")] + NORMAL))
run("pseudo behind fields", headers(NORMAL[:3] + [("x", "1")] + NORMAL[3:]))
run("CONNECT", headers([(":method", "CONNECT"), (":authority", "127.0.0.1:80"), ("x-api-key", KEY)]))
run("extended CONNECT", headers([(":method", "CONNECT"), (":protocol", "websocket")] + NORMAL[1:]))
# 8.3.1: targets.
for name, path in [
    ("a whole URL", "http://evil.example/users/1"), ("a space in the path", "/users/1 HTTP/1.1"), ("an empty path", ""),
    ("CRLF in the path", "/users/1 HTTP/1.1\r\nX: y"), ("NUL in the path", "/users/1\0"), ("no slash", "users/1"),
    ("a star", "*"), ("dots", "/users/../users/1"), ("encoded dots", "/x/..%2fusers/1"), ("a backslash", "/users\\1"),
    ("an empty segment", "//users/1"), ("a high byte", "/users/\xe9"), ("twice encoded", "/users/%252e"),
    ("a query's host", "?/users/1"), ("a semicolon", "/users;x/1"),
]:
    run(name, headers(request(path=path)))
for name, authority in [
    ("userinfo", "user:pw@127.0.0.1"), ("a path in :authority", "127.0.0.1/x"), ("an empty :authority", ""),
    ("CRLF in :authority", "127.0.0.1\r\nX: y"), ("a space in :authority", "127.0.0.1 x"), ("port 0", "127.0.0.1:0"),
]:
    run(name, headers(request(authority=authority)))
run("another scheme", headers(request(scheme="https")))
run("a scheme that is none", headers(request(scheme="http\r\n")))
run("a method of two words", headers(request(method="GET /users/2 HTTP/1.1\r\n")))
run("an empty method", headers(request(method="")))
# 8.1.1: lengths.
TEXT = [("content-type", "text/plain")]
body("more DATA than content-length", TEXT + [("content-length", "3")], b"abcGET /users/2 HTTP/1.1\r\n\r\n")
body("more DATA later", TEXT + [("content-length", "3")], b"abc", b"GET /users/2 HTTP/1.1\r\n\r\n")
body("less DATA than content-length", TEXT + [("content-length", "30")], b"abc")
body("DATA behind content-length 0", TEXT + [("content-length", "0")], b"", b"abc")
body("two lengths", TEXT + [("content-length", "3"), ("content-length", "4")], b"abc")
body("a list of lengths", TEXT + [("content-length", "3,3")], b"abc")
body("a signed length", TEXT + [("content-length", "+3")], b"abc")
body("a hexadecimal length", TEXT + [("content-length", "0x3")], b"abc")
body("a length beyond 64 bits", TEXT + [("content-length", "18446744073709551619")], b"abc")
run("content-length and the stream's end", headers(request("POST", "/echo", extra=TEXT + [("content-length", "3")])))
run("a reset in the midst", headers(request("POST", "/echo", extra=TEXT), flags=END_HEADERS),
    frame(DATA, 0, 1, b"abc"), frame(RST, 0, 1, struct.pack(">I", 8)), headers(request(), stream=3, flags=END_HEADERS),
    frame(DATA, END_STREAM, 3, b"x"), stream=3)
run("pseudo in trailers", headers(request("POST", "/echo", extra=TEXT), flags=END_HEADERS), frame(DATA, 0, 1, b"abc"),
    headers([(":path", "/users/2")]))
run("trailers that do not end", headers(request("POST", "/echo", extra=TEXT), flags=END_HEADERS), frame(DATA, 0, 1, b"abc"),
    headers([("x", "1")], flags=END_HEADERS))
run("a credential in trailers", headers(request("POST", "/echo", extra=TEXT), flags=END_HEADERS), frame(DATA, 0, 1, b"abc"),
    headers([("authorization", "Bearer x")]))
# 5.1, 6: states, sizes and ids.
run("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"abc"))
run("RST on an idle stream", frame(RST, 0, 1, struct.pack(">I", 8)))
run("WINDOW_UPDATE on an idle stream", frame(WINDOW, 0, 1, struct.pack(">I", 1)))
run("CONTINUATION alone", frame(CONTINUATION, END_HEADERS, 1, block(NORMAL)))
run("an even stream", headers(NORMAL, stream=2), stream=2)
run("stream 0", headers(NORMAL, stream=0))
run("DATA on stream 0", frame(DATA, 0, 0, b"abc"))
run("a lower stream", headers(request(), stream=5, flags=END_HEADERS), headers(NORMAL, stream=3), stream=3)
run("DATA behind the end", headers(request("POST", "/slow", extra=TEXT), flags=END_STREAM | END_HEADERS),
    frame(DATA, END_STREAM, 1, b"abc"))
run("HEADERS behind the end", headers(request("POST", "/slow", extra=TEXT)), headers(NORMAL))
run("another frame inside of HEADERS", frame(HEADERS, END_STREAM, 1, block(NORMAL)), frame(PING, 0, 0, b"12345678"))
run("CONTINUATION of another stream", frame(HEADERS, END_STREAM, 1, block(NORMAL[:2])),
    frame(CONTINUATION, END_HEADERS, 3, block(NORMAL[2:])))
run("PUSH_PROMISE", frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + block(NORMAL)))
run("a frame above the size", frame(DATA, 0, 1, b"x" * 20000))
run("HEADERS above the size", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(NORMAL + [("x", "y" * 17000)])))
run("padding longer than the frame", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\xff" + block(NORMAL)))
run("SETTINGS of another size", frame(SETTINGS, 0, 0, b"12345"))
run("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""))
run("SETTINGS ack with a payload", frame(SETTINGS, ACK, 0, b"123456"))
run("a window above the limit", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)))
run("a frame size below the limit", frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 100)))
run("ENABLE_PUSH 2", frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 2)))
run("PING of another size", frame(PING, 0, 0, b"123"))
run("PING on a stream", frame(PING, 0, 1, b"12345678"))
run("RST of another size", headers(request(), flags=END_HEADERS), frame(RST, 0, 1, b"12"))
run("RST on stream 0", frame(RST, 0, 0, struct.pack(">I", 8)))
run("WINDOW_UPDATE of another size", frame(WINDOW, 0, 0, b"12"))
run("WINDOW_UPDATE of 0", frame(WINDOW, 0, 0, struct.pack(">I", 0)))
run("a window that overflows", *[frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF))] * 2)
run("GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)))
run("PRIORITY of another size", frame(PRIORITY, 0, 1, b"123"))
run("an index that is not there", frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\xff\x03"))
run("a table above the limit", frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x3f\xff\xff\x03" + block(NORMAL)))
run("a number without end", frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff" + b"\x80" * 30))
run("a string without end", frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x10\x7f\xff\xff\x7fabc"))
run("a preface that goes wrong", headers(NORMAL), preface=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
run("no SETTINGS", headers(request(probe=False)), settings=False)
# Floods.
run("CONTINUATION flood", frame(HEADERS, END_STREAM, 1, block(NORMAL)),
    *[frame(CONTINUATION, 0, 1, b"\x10\x01x" + string("y" * 10000))] * 400)
run("empty CONTINUATION flood", frame(HEADERS, END_STREAM, 1, block(NORMAL)), *[frame(CONTINUATION, 0, 1)] * 20000)
BOMB = b"\x40\x01x" + string("y" * 3000) + b"\xbe" * 12000
run("HPACK bomb", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(NORMAL[:4]) + BOMB))
run("rapid reset", *[headers(request(), stream=1 + 2 * n) + frame(RST, 0, 1 + 2 * n, struct.pack(">I", 8))
                     for n in range(2000)], stream=5001)
run("empty DATA flood", headers(request("POST", "/echo", extra=TEXT), flags=END_HEADERS), *[frame(DATA, 0, 1)] * 60000)
run("more streams than allowed", *[headers(request("POST", "/echo", extra=TEXT), stream=1 + 2 * n, flags=END_HEADERS)
                                   for n in range(200)], stream=399)
run("another run's credential", headers(request(probe=False)),
    headers(request(key=OTHER), stream=3), stream=3) if OTHER else None

# Pings and settings are answered, each; a client that does not read holds nothing but its own connection.
peer = Peer()
peer.send(PREFACE + frame(SETTINGS) + (frame(PING, 0, 0, b"12345678") + frame(SETTINGS)) * 20000)
peer.send(headers(request(probe=False)))
print(json.dumps({"name": "PING and SETTINGS flood", "is": peer.outcome()}))
peer.sock.close()
# A fragment is no part of what is asked: h2 takes it off before anybody looks.
run("a fragment", headers(request(path="/users/2#/users/1", probe=False)))

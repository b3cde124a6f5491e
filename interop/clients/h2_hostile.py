"""A service of HTTP/2 that answers as no service should: the path says how.

Usage: h2_hostile.py PORT
"""
import socket
import struct
import sys
import threading

import hpack

DATA, HEADERS, RST, SETTINGS, PUSH, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 7, 9


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def string(text):
    text = text.encode("latin-1")
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    size, out = size - 127, b"\x7f"
    while size >= 128:
        out += bytes([size % 128 + 128])
        size //= 128
    return out + bytes([size]) + text


def block(*fields):
    return b"".join(b"\x10" + string(n) + string(v) for n, v in fields)


OK, JSON = (":status", "200"), ("content-type", "application/json")
BODY = b'{"answer": "planted"}'


def answer(what, s):
    def head(*fields, flags=4):
        return frame(HEADERS, flags, s, block(*fields))

    body = frame(DATA, 1, s, BODY)
    usual = head(OK, JSON)
    return {
        "right": usual + frame(DATA, 1, s, b"{}"),
        "garbage": b"\xff" * 4000,
        "http1": b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + BODY,
        "huge": frame(HEADERS, 0, s, block(OK, JSON)) + b"".join(
            frame(CONTINUATION, 4 if n == 29 else 0, s, block(("x", "y" * 9000))) for n in range(30)) + body,
        "interims": head((":status", "103")) * 100 + usual + body,
        "switch": head((":status", "101")) + usual + body,
        "connection": head(OK, JSON, ("connection", "close")) + body,
        "upper": head(OK, JSON, ("X-Upper", "1")) + body,
        "nostatus": head(JSON) + body,
        "twostatus": head(OK, (":status", "201"), JSON) + body,
        "crlf": head(OK, JSON, ("x", "a\r\nb: c")) + body,
        "space": head(OK, JSON, ("x", " a")) + body,
        "datafirst": body,
        "rst": usual + frame(RST, 0, s, struct.pack(">I", 2)),
        "goaway": frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2)),
        "long": head(OK, JSON, ("content-length", "3")) + body,
        "short": head(OK, JSON, ("content-length", "300")) + body,
        "push": frame(PUSH, 4, s, struct.pack(">I", 2) + block((":method", "GET"))) + usual + body,
        "pseudo": head(OK, JSON, (":status", "200")) + body,
        "bomb": frame(HEADERS, 4, s, block(OK, JSON) + b"\x40\x01x" + string("y" * 3000) + b"\xbe" * 12000) + body,
        "evenstream": frame(HEADERS, 5, 2, block(OK, JSON)),
        "end": usual + frame(DATA, 0, s, b'{"half": '),
    }[what]


def serve(sock):
    with sock:
        buffer, decoder = b"", hpack.Decoder()
        sock.sendall(frame(SETTINGS))
        while len(buffer) < 24:
            buffer += sock.recv(65536)
        buffer = buffer[24:]
        while True:
            while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[:3], "big"):
                more = sock.recv(65536)
                if not more:
                    return
                buffer += more
            size = int.from_bytes(buffer[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", buffer[3:9])
            payload, buffer = buffer[9 : 9 + size], buffer[9 + size :]
            if kind == SETTINGS and not flags & 1:
                sock.sendall(frame(SETTINGS, 1))
            if kind == HEADERS:
                path = dict(decoder.decode(payload))[":path"]
                sock.sendall(answer(path.strip("/"), stream))
                if path in ("/end", "/datafirst", "/nostatus", "/evenstream", "/goaway"):
                    return


def quietly(sock):
    try:
        serve(sock)
    except OSError:
        pass


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=quietly, args=(listener.accept()[0],), daemon=True).start()

"""An HTTP service to stand behind a gateway: aiohttp's server, with answers of every kind that the tests need.

Usage: http_service.py PORT LOG [CERT KEY]
Each request that arrives is a line of JSON in LOG: what the service saw, and so what the gateway sent.
"""
import asyncio
import base64
import html
import json
import ssl
import sys
import urllib.parse
import zlib

import brotli
import zstandard
from aiohttp import web

PORT, LOG = int(sys.argv[1]), sys.argv[2]
SECRET = "upstream-key-91c4be"
USERS = {
    "1": {"id": 1, "name": "Ada Osei", "ssn": "536-22-8391", "email": "ada.osei@example.com", "balance": 12.50},
    "2": {"id": 2, "name": "B. Keller", "ssn": "219-47-6630", "email": "b.keller@example.org", "balance": 7},
}


@web.middleware
async def log(request, handler):
    body = await request.read()
    seen = {
        "method": request.method,
        "target": request.raw_path,
        "headers": [[k, v] for k, v in request.headers.items()],
        "body": body.decode("latin-1"),
    }
    with open(LOG, "a") as out:
        out.write(json.dumps(seen) + "\n")
    return await handler(request)


async def user(request):
    found = USERS.get(request.match_info["id"])
    if found is None:
        return web.json_response({"error": "no such user"}, status=404)
    return web.json_response(found, headers={"X-Owner": found["email"], "ETag": '"v1"'})


async def users(_request):
    return web.json_response({"users": list(USERS.values()), "next": None})


async def echo(request):
    body = await request.read()
    kind = request.headers.get("Content-Type", "application/octet-stream")
    return web.Response(body=body, headers={"Content-Type": kind})


async def text(_request):
    return web.Response(text="write to ada.osei@example.com, or call the desk\n")


async def page(_request):
    return web.Response(text="<p>SSN: 536-22-8391</p>", content_type="text/html")


async def latin(_request):
    body = "Grüße an ada.osei@example.com – 5 €".encode("cp1252")
    return web.Response(body=body, headers={"Content-Type": "text/html; charset=iso-8859-1", "ETag": '"v1"'})


async def blob(_request):
    return web.Response(body=bytes(range(256)), content_type="application/octet-stream")


async def packed(_request):
    answer = web.json_response(USERS["1"])
    answer.enable_compression(web.ContentCoding.gzip)
    return answer


class Raw:
    """Deflate without zlib's header, as many services send it."""

    def __init__(self):
        self.stream = zlib.compressobj(wbits=-15)

    def process(self, data):
        return self.stream.compress(data)

    def flush(self):
        return self.stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self):
        return self.stream.flush()


class Zlib(Raw):
    def __init__(self):
        self.stream = zlib.compressobj()


class Gzip(Raw):
    def __init__(self):
        self.stream = zlib.compressobj(wbits=31)


class Zstd:
    def __init__(self):
        self.stream = zstandard.ZstdCompressor().compressobj()

    def process(self, data):
        return self.stream.compress(data)

    def flush(self):
        return self.stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self):
        return self.stream.flush()


CODINGS = {"gzip": Gzip, "deflate": Zlib, "raw": Raw, "br": brotli.Compressor, "zstd": Zstd}


def encoded(coding, data):
    stream = CODINGS[coding]()
    return stream.process(data) + stream.finish()


async def coded(request):
    """Answers in a coding, whatever the client accepts."""
    what, coding = request.match_info["what"], request.match_info["coding"]
    named = "deflate" if coding == "raw" else coding
    head = {"Content-Type": "application/json", "Content-Encoding": named}
    user = json.dumps(USERS["1"]).encode()
    if what == "user":
        body = encoded(coding, user)
    elif what == "members":
        body = encoded(coding, user[:20]) + encoded(coding, user[20:])
    elif what == "twice":
        body, head["Content-Encoding"] = encoded("br", encoded(coding, user)), f"{named}, br"
    elif what == "thrice":
        body, head["Content-Encoding"] = b"\x00", f"{named}, {named}, {named}"
    elif what == "unknown":
        body, head["Content-Encoding"] = b"\x1f\x9d\x90", "compress"
    elif what == "cut":
        body = encoded(coding, user)[:-3]
    elif what == "behind":
        body = encoded(coding, user) + user
    elif what == "wrong":
        body = user
    elif what == "bomb":
        body = encoded(coding, b"[" + b" " * (16 << 20) + b"]")
    elif what == "text":
        body, head["Content-Type"] = encoded(coding, b"write to ada.osei@example.com\n"), "text/plain"
    return web.Response(body=body, headers={**head, "ETag": '"v1"', "Vary": "Accept-Encoding"})


async def coded_stream(request):
    """Rows, or events that are flushed one by one, in a coding."""
    what, coding = request.match_info["what"], request.match_info["coding"]
    kind = "text/event-stream" if what == "events" else "application/json"
    head = {"Content-Type": kind, "Content-Encoding": "deflate" if coding == "raw" else coding}
    answer, stream = web.StreamResponse(headers=head), CODINGS[coding]()
    await answer.prepare(request)
    if what == "events":
        for n in range(3):
            event = f"id: {n}\ndata: {json.dumps({'n': n, 'mail': 'ada.osei@example.com'})}\n\n".encode()
            await answer.write(stream.process(event) + stream.flush())
            await asyncio.sleep(0.5)
    else:
        for n in range(20_000):
            row = {"n": n, "ssn": "536-22-8391", "note": f"{n * 7919 % 10007}", "mail": f"user{n}@example.com"}
            await answer.write(stream.process((b"," if n else b"[") + json.dumps(row).encode()))
        await answer.write(stream.process(b"]"))
    await answer.write(stream.finish())
    await answer.write_eof()
    return answer


async def many(_request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(_request)
    await answer.write(b"[")
    for n in range(20_000):
        row = {"n": n, "ssn": "536-22-8391", "note": "x" * 40, "mail": f"user{n}@example.com"}
        await answer.write((b"," if n else b"") + json.dumps(row).encode())
    await answer.write(b"]")
    await answer.write_eof()
    return answer


async def events(request):
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for n in range(3):
        await answer.write(f"id: {n}\ndata: {json.dumps({'n': n, 'mail': 'ada.osei@example.com'})}\n\n".encode())
        await asyncio.sleep(0.2)
    await answer.write(b"data: [DONE]\n\n")
    await answer.write_eof()
    return answer


async def pieces(request):
    """A text in pieces, and one that comes after a pause."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for piece in ["Write to ada", ".osei@exam", "ple.com, or call", " 536-22", "-8391. Goodbye"]:
        await answer.write(f"data: {json.dumps({'delta': piece})}\n\n".encode())
    await asyncio.sleep(2)
    await answer.write(f"data: {json.dumps({'delta': ' now.'})}\n\n".encode())
    await answer.write_eof()
    return answer


async def slow(_request):
    await asyncio.sleep(30)
    return web.Response(text="late")


async def broken(request):
    """Rows without an end: a megabyte of them, and then the connection is gone."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b"[")
    for n in range(400):
        await answer.write(b"".join(b'{"n":%d,"ssn":"536-22-8391","mail":"ada.osei@example.com"},' % (40 * n + k) for k in range(40)))
    await asyncio.sleep(0.5)
    request.transport.abort()
    return answer


async def cut(request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"half": ')
    request.transport.close()
    return answer


async def reflect(request):
    return web.json_response({"authorization": request.headers.get("Authorization"), "next": "/?key=" + SECRET})


async def mirror(request):
    """All that it was asked with, as it came and as it is read."""
    kind, _, word = request.headers.get("Authorization", "").partition(" ")
    read = base64.b64decode(word).decode() if kind == "Basic" else word
    said = {"target": request.raw_path, "headers": [list(pair) for pair in request.headers.items()]}
    said |= {"who": read, "query": [list(pair) for pair in request.query.items()]}
    return web.json_response(said, headers={"X-Who": read or "nobody", "X-Target": request.raw_path})


async def names(request):
    """Values where a field has its name."""
    named = {"X-219-47-6630": "1", "x_219-47-6630": "2", "N219-47-6630": "3", "X-Kept": "4"}
    return web.json_response({"ok": True}, headers={f"X-Of-{SECRET}": "1"} if "own" in request.query else named)


async def written(request):
    """The request's target and credential as pages, links and logs write them."""
    own = f"http://localhost{request.raw_path}"
    url = urllib.parse.quote(own, safe="")
    said = [url, urllib.parse.quote(url), url.lower(), html.escape(urllib.parse.unquote(own)), json.dumps(json.dumps(own))]
    for behind in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
            for text in (own, urllib.parse.unquote(own)):
                said.append(encode((" " * behind + text + " behind").encode()).decode())
    said.append("".join(f"&#{ord(c)};" for c in urllib.parse.unquote(own)))
    said.append(urllib.parse.unquote(own).encode().hex())
    return web.json_response(said, headers={"X-Next": f"/login?next={url}"})


async def turn(_request):
    return web.Response(status=302, headers={"Location": f"http://localhost:{PORT}/users/1?key={SECRET}"})


async def part(_request):
    return web.Response(status=206, text='{"ssn": "536-2', headers={"Content-Range": "bytes 0-13/40"}, content_type="application/json")


async def fail(_request):
    return web.json_response({"error": "it may have happened"}, status=500)


async def twice(request):
    """Two answers where one was asked for."""
    body = b'{"answer": "first"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    other = b'{"answer": "planted"}'
    request.transport.write(head % len(body) + body + head % len(other) + other)
    await asyncio.sleep(2)
    return web.Response(text="")


async def reasoned(_request):
    """A value where nobody looks: behind the status."""
    return web.json_response({"ok": True}, reason="OK for ada.osei@example.com")


async def cookie(_request):
    answer = web.json_response({"ok": True})
    answer.set_cookie("session", "s3ss10n-of-the-service")
    return answer


app = web.Application(middlewares=[log], client_max_size=64 << 20)
app.router.add_get("/users", users)
app.router.add_get("/users/{id}", user)
app.router.add_route("*", "/echo", echo)
app.router.add_delete("/users/{id}", user)
for path, handler in [
    ("/reasoned", reasoned), ("/text", text), ("/page", page), ("/blob", blob), ("/packed", packed), ("/many", many),
    ("/events", events), ("/cut", cut), ("/broken", broken), ("/cookie", cookie), ("/reflect", reflect), ("/mirror", mirror), ("/names", names), ("/written", written), ("/latin", latin), ("/turn", turn), ("/part", part),
    ("/twice", twice),
]:
    app.router.add_get(path, handler)
app.router.add_get("/pieces", pieces)
app.router.add_get("/coded/{coding}/stream/{what}", coded_stream)
app.router.add_get("/coded/{coding}/{what}", coded)
app.router.add_route("*", "/slow", slow)
app.router.add_route("*", "/fail", fail)

tls = None
if len(sys.argv) > 4:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])
web.run_app(app, host="127.0.0.1", port=PORT, ssl_context=tls, print=None)

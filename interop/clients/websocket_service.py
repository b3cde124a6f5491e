"""A WebSocket service to stand behind a gateway: aiohttp's server, and one that says whatever it likes.

Usage: websocket_service.py PORT WRONG_PORT LOG [CERT KEY]
Each handshake and each message that arrives is a line of JSON in LOG: what the service saw, and so what the gateway sent.
At WRONG_PORT the path says what is wrong.
"""
import asyncio
import base64
import hashlib
import json
import ssl
import sys

from aiohttp import WSCloseCode, WSMsgType, web

PORT, WRONG, LOG = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
SECRET = "upstream-key-91c4be"
ADA = {"id": 1, "name": "Ada Osei", "ssn": "536-22-8391", "email": "ada.osei@example.com"}


def log(**seen):
    with open(LOG, "a") as out:
        out.write(json.dumps(seen) + "\n")


async def opened(request):
    log(path=request.raw_path, headers=[[k, v] for k, v in request.headers.items()])
    socket = web.WebSocketResponse(protocols=("chat",), autoping=True, heartbeat=None)
    await socket.prepare(request)
    return socket


async def echo(request):
    socket = await opened(request)
    async for message in socket:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data = message.data if message.type == WSMsgType.TEXT else message.data.hex()
            log(path=request.raw_path, kind=message.type.name, said=data)
        if message.type == WSMsgType.TEXT:
            if message.data == "close":
                await socket.close(code=4001, message=b"as asked")
            elif message.data == "close with a value":
                await socket.close(code=4002, message=b"ask ada.osei@example.com")
            elif message.data == "ada":
                await socket.send_str(json.dumps(ADA))
            elif message.data == "text":
                await socket.send_str("write to ada.osei@example.com, or call the desk")
            elif message.data == "key":
                await socket.send_str(json.dumps({"key": SECRET}))
            elif message.data == "binary":
                await socket.send_bytes(b"\x00\x9f\x01")
            elif message.data == "ping":
                await socket.ping(b"536-22-8391")
                await socket.send_str('{"pinged": true}')
            else:
                await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    log(path=request.raw_path, closed=socket.close_code)
    return socket


async def no(_request):
    return web.json_response({"error": "not here", "ssn": ADA["ssn"]}, status=403)


def frame(first, payload, second=None):
    length = len(payload)
    assert length < 126
    return bytes([first, length if second is None else second]) + payload


GOOD = frame(0x81, b'{"good": 1}')
# What is said behind a handshake that is right.
FRAMES = {
    "/masked": bytes([0x81, 0x82, 0, 0, 0, 0]) + b"{}",
    "/reserved": frame(0xC1, b"{}"),
    "/opcode": frame(0x83, b"{}"),
    "/fragmented-ping": frame(0x09, b"x"),
    "/long-ping": bytes([0x89, 126, 0, 126]) + b"x" * 126,
    "/not-shortest": bytes([0x81, 126, 0, 2]) + b"{}",
    "/not-begun": frame(0x80, b"{}"),
    "/not-ended": frame(0x01, b"{") + frame(0x81, b"}"),
    "/no-text": frame(0x81, b'{"a": "\xff"}'),
    "/too-large": bytes([0x81, 127]) + (1 << 40).to_bytes(8, "big") + b"{",
    "/bad-code": frame(0x88, (1005).to_bytes(2, "big")),
    "/half": frame(0x81, b"{}", 100),
    "/gone": b"",
}
# What is wrong with the handshake: what is put in the place of what.
HEADS = {
    "/no-accept": ("Sec-WebSocket-Accept: ACCEPT\r\n", ""),
    "/wrong-accept": ("ACCEPT", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "/no-upgrade": ("Upgrade: websocket\r\n", ""),
    "/other-upgrade": ("Upgrade: websocket", "Upgrade: h2c"),
    "/no-connection": ("Connection: Upgrade", "Connection: keep-alive"),
    "/extension": ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    "/protocol": ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: other\r\n\r\n"),
}


async def wrong(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    path = head.split(" ")[1]
    key = {name.lower(): value for name, value in fields.items()}.get("sec-websocket-key", "")
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
             "Sec-WebSocket-Accept: ACCEPT\r\n\r\n"
    if path in HEADS:
        answer = answer.replace(*HEADS[path], 1)
    writer.write(answer.replace("ACCEPT", accept).encode() + GOOD + FRAMES.get(path, b""))
    await writer.drain()
    if path not in ("/half", "/gone"):
        try:
            await asyncio.wait_for(reader.read(), 5)
        except asyncio.TimeoutError:
            pass
    writer.close()


async def main():
    app = web.Application()
    app.router.add_get("/echo", echo)
    app.router.add_get("/asked", echo)
    app.router.add_get("/closed", echo)
    app.router.add_get("/no", no)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = None
    if len(sys.argv) > 4:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[4], sys.argv[5])
    await web.TCPSite(runner, "localhost", PORT, ssl_context=tls).start()
    await asyncio.start_server(wrong, "localhost", WRONG)
    await asyncio.Event().wait()


asyncio.run(main())

"""An unchanged WebSocket client: aiohttp's. Usage: websocket_client.py URL WORD...

Each WORD is sent as a message, and what comes back is printed: `text: ...`, `binary: ...`, `closed: CODE REASON`. A word that
begins with `0x` is a binary message; `+ping` pings, `+bye` closes. COMPRESS=1 offers compression, PROTOCOL names a
subprotocol, PROXIED=1 goes by the proxy that the environment names.
"""
import asyncio
import os
import sys

import aiohttp

URL, WORDS = sys.argv[1], sys.argv[2:]


def shown(message):
    kinds = aiohttp.WSMsgType
    if message.type == kinds.TEXT:
        return "text: " + message.data
    if message.type == kinds.BINARY:
        return "binary: " + message.data.hex()
    if message.type == kinds.CLOSE:
        return f"closed: {message.data} {message.extra}".rstrip()
    return message.type.name.lower()


async def main():
    asked = {"compress": 15 if os.environ.get("COMPRESS") else 0, "autoclose": False, "autoping": False}
    if os.environ.get("PROTOCOL"):
        asked["protocols"] = (os.environ["PROTOCOL"],)
    if os.environ.get("PROXIED"):
        asked["proxy"] = os.environ["https_proxy" if URL.startswith("https") else "http_proxy"]
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(URL, **asked)
        except aiohttp.WSServerHandshakeError as error:
            print("refused:", error.status)
            return
        print("open:", socket.protocol, socket.compress)
        for word in WORDS:
            if word == "+bye":
                await socket.close(code=4321, message=b"the client's own reason")
                print("code:", socket.close_code)
                return
            if word == "+ping":
                await socket.ping(b"here")
            elif word.startswith("0x"):
                await socket.send_bytes(bytes.fromhex(word[2:]))
            else:
                await socket.send_str(word)
            message = await socket.receive(timeout=40)
            print(shown(message), flush=True)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return


asyncio.run(main())

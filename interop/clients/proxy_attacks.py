"""What an agent may try at the forward proxy, byte by byte. Usage: proxy_attacks.py HTTPS_PORT PLAIN_PORT CONSOLE_PORT

It knows the usual variables of its run. Prints `OUT: what` for each thing that worked and must not, and `finished`.
"""
import base64
import os
import socket
import ssl
import sys
import urllib.parse

HTTPS, PLAIN, CONSOLE = sys.argv[1:4]
PROXY = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
WORD = base64.b64encode(f"{PROXY.username}:{PROXY.password}".encode()).decode()
MINE = f"Proxy-Authorization: Basic {WORD}\r\n"
TRUST = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])


def dial():
    return socket.create_connection((PROXY.hostname, PROXY.port), timeout=60)


def answer(sock):
    """The status of what comes, and all of it; 0 where the connection just ends."""
    said = b""
    try:
        while b"\r\n\r\n" not in said:
            piece = sock.recv(65536)
            if not piece:
                break
            said += piece
    except (ConnectionError, ssl.SSLError):
        pass
    words = said.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 else 0), said.decode("latin-1")


def ask(bytes_, what=None, expect=None):
    with dial() as sock:
        try:
            sock.sendall(bytes_ if isinstance(bytes_, bytes) else bytes_.encode())
        except ConnectionError:
            pass
        status, said = answer(sock)
    if what and status != expect:
        print(f"OUT: {what}: {status} {said!r}")
    return status, said


def connect(place, fields=MINE, host=None):
    return f"CONNECT {place} HTTP/1.1\r\nHost: {host or place}\r\n{fields}\r\n"


def tunnel(place=f"localhost:{HTTPS}"):
    sock = dial()
    sock.sendall(connect(place).encode())
    status, said = answer(sock)
    assert status == 200, said
    return sock


def inside(request, what, expect, name="localhost"):
    with tunnel() as sock, TRUST.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(request.encode())
        status, said = answer(tls)
        if status != expect:
            print(f"OUT: {what}: {status} {said!r}")
        return said


good = f"localhost:{HTTPS}"

# Whose it is.
ask(connect(good, ""), "without a credential", 407)
ask(connect(good, f"Authorization: Basic {WORD}\r\n"), "the credential in Authorization", 407)
ask(connect(good, f"Proxy-Authorization: Bearer {PROXY.username}.{PROXY.password}\r\n"), "as a bearer", 407)
ask(connect(good, MINE + MINE), "twice", 407)
other = base64.b64encode(f"{PROXY.username}:{'0' * 48}".encode()).decode()
ask(connect(good, f"Proxy-Authorization: Basic {other}\r\n"), "another password", 407)
dead = os.environ.get("DEAD_PROXY")
if dead:
    old = urllib.parse.urlsplit(dead)
    word = base64.b64encode(f"{old.username}:{old.password}".encode()).decode()
    ask(connect(good, f"Proxy-Authorization: Basic {word}\r\n"), "a run that is over", 407)
    mixed = f"GET http://localhost:{PLAIN}/users/1 HTTP/1.1\r\nHost: localhost:{PLAIN}\r\n"
    with dial() as sock:
        sock.sendall(f"{mixed}{MINE}\r\n".encode())
        first = answer(sock)
        sock.sendall(f"{mixed}Proxy-Authorization: Basic {word}\r\n\r\n".encode())
        while "}" not in first[1]:
            first = (first[0], first[1] + sock.recv(65536).decode())
        second = answer(sock)[0]
        if (first[0], second) != (200, 407):
            print(f"OUT: another run's credential on this connection: {first} {second}")
    with dial() as sock:
        sock.sendall(f"{mixed}{MINE}\r\n{mixed}\r\n".encode())
        said = ""
        while True:
            piece = sock.recv(65536).decode()
            said += piece
            if not piece or " 407 " in said:
                break
        if said.count(" 200 ") != 1 or " 407 " not in said:
            print(f"OUT: a second request without a credential: {said!r}")

# Whom it is for.
for place in [
    f"127.0.0.1:{HTTPS}", f"[::1]:{HTTPS}", f"2130706433:{HTTPS}", f"0x7f.1:{HTTPS}", f"localhost.:{HTTPS}", f"localhost:{CONSOLE}",
    f"127.0.0.1:{CONSOLE}", f"{PROXY.hostname}:{PROXY.port}", f"localhost:{PROXY.port}", "localhost:443", f"www.localhost:{HTTPS}",
    "169.254.169.254:80", "example.org:443",
]:
    ask(connect(place), f"CONNECT {place}", 403)
ask(connect(f"localhost:{PLAIN}"), "a tunnel to plain HTTP", 403)
ask(connect(f"LOCALHOST:{HTTPS}"), "case means nothing", 200)
for place in [f"me@localhost:{HTTPS}", f"localhost:{HTTPS}@evil.example:443", "localhost", f"localhost:{HTTPS}/", f"http://{good}", f"localhost%2e:{HTTPS}"]:
    ask(connect(place, host=good), f"CONNECT {place}", 400)
ask(connect(good, host="evil.example:443"), "another Host than CONNECT's", 400)
ask(connect(good, host=f"localhost:{PLAIN}"), "another port in Host", 400)
ask(connect(good, MINE + "Content-Length: 4\r\n") + "GET ", "CONNECT with a body", 400)
ask(connect(good, MINE + "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", "CONNECT with chunks", 400)
ask(connect(good) + "GET /users/1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "bytes before the tunnel is there", 400)
ask(connect(good, MINE + f"X: {'x' * 70_000}\r\n"), "a head without end", 431)
ask(f"GET https://{good}/users/1 HTTP/1.1\r\nHost: {good}\r\n{MINE}\r\n", "https by a whole URL", 501)
ask(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\n{MINE}\r\n", "a path alone", 501)
ask(f"GET http://u:p@localhost:{PLAIN}/users/1 HTTP/1.1\r\nHost: localhost:{PLAIN}\r\n{MINE}\r\n", "a user in a URL", 400)
ask(f"GET http://localhost:{PLAIN}/users/1 HTTP/1.1\r\nHost: localhost:{HTTPS}\r\n{MINE}\r\n", "another Host than the URL's", 400)
ask(f"GET http://{good}/users/1 HTTP/1.1\r\nHost: {good}\r\n{MINE}\r\n", "plain HTTP to what speaks TLS", 403)
ask(f"GET http://localhost:{CONSOLE}/v1/status HTTP/1.1\r\nHost: localhost:{CONSOLE}\r\n{MINE}\r\n", "the console", 403)
ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2", 505)

# In the tunnel.
with tunnel() as sock:
    # Not TLS, though it looks like the request that would have been good.
    sock.sendall(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\n\r\n".encode())
    if b"200 OK" in sock.recv(4096):
        print("OUT: plain HTTP in a tunnel")
for name in ["evil.example", "www.localhost"]:
    try:
        with tunnel() as sock, TRUST.wrap_socket(sock, server_hostname=name):
            print(f"OUT: SNI {name}")
    except (ssl.SSLError, ConnectionError):
        pass
for offered, chosen in [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")]:
    either = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    either.set_alpn_protocols(offered)
    with tunnel() as sock, either.wrap_socket(sock, server_hostname="localhost") as tls:
        if tls.selected_alpn_protocol() != chosen:
            print(f"OUT: {tls.selected_alpn_protocol()} of {offered}")
other = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
other.set_alpn_protocols(["h3"])
try:
    with tunnel() as sock, other.wrap_socket(sock, server_hostname="localhost"):
        print("OUT: h3 alone in ALPN")
except (ssl.SSLError, ConnectionError):
    pass
without = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
without.check_hostname = False
with tunnel() as sock, without.wrap_socket(sock) as tls:
    tls.sendall(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\n\r\n".encode())
    if answer(tls)[0] != 200:
        print("OUT: a client without SNI is refused")
inside(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\n\r\n", "the usual", 200)
inside(f"GET /users/1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "another Host in the tunnel", 400)
inside(f"GET /users/1 HTTP/1.1\r\nHost: localhost:{PLAIN}\r\n\r\n", "another port in the tunnel", 400)
inside(f"GET /users/1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "the usual port, which is another", 400)
inside(f"GET /users/1 HTTP/1.0\r\n\r\n", "no Host in the tunnel", 400)
inside(f"GET https://{good}/users/1 HTTP/1.1\r\nHost: {good}\r\n\r\n", "a whole URL in the tunnel", 501)
inside(f"CONNECT {good} HTTP/1.1\r\nHost: {good}\r\n{MINE}\r\n", "a tunnel in the tunnel", 501)
inside(f"CONNECT evil.example:443 HTTP/1.1\r\nHost: {good}\r\n{MINE}\r\n", "a tunnel elsewhere in the tunnel", 501)
inside(
    f"POST /echo HTTP/1.1\r\nHost: {good}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two framings", 400
)
inside(f"GET /team/%61/../users/1 HTTP/1.1\r\nHost: {good}\r\n\r\n", "dot segments", 400)
inside(f"GET /%63oded/gzip/user HTTP/1.1\r\nHost: {good}\r\n\r\n", "a resource's path in another spelling", 400)
inside(f"GET /CODED/gzip/user HTTP/1.1\r\nHost: {good}\r\n\r\n", "a resource's path in capitals", 400)
inside(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "an upgrade", 501)
inside(f"GET /users/1 HTTP/1.1\r\nHost: {good}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "half a WebSocket", 400)

# Two resources in one tunnel: each is decided and recorded as its own.
with tunnel() as sock, TRUST.wrap_socket(sock, server_hostname="localhost") as tls:
    for path in ["/users/1?one=tunnel", "/coded/gzip/user?one=tunnel", "/users/2?one=tunnel"]:
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {good}\r\nProxy-Connection: keep-alive\r\nProxy: http://evil\r\nProxy_Authorization: x\r\n\r\n".encode())
        status, said = answer(tls)
        while "}" not in said and not said.endswith("0\r\n\r\n"):
            said += tls.recv(65536).decode()
        while "hunked" in said and not said.endswith("0\r\n\r\n"):
            said += tls.recv(65536).decode()
        if status != 200 or "*******" not in said:
            print(f"OUT: {path}: {said!r}")

# Nobody waits for ever.
with tunnel() as sock:
    sock.sendall(b"\x16\x03\x01")
    if sock.recv(1) != b"":
        print("OUT: half a handshake is answered")
print("finished")

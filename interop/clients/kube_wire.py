"""Requests that a gateway before a cluster has to refuse, over HTTP/1.1 and HTTP/2. Usage: kube_wire.py PORT TOKEN. Prints a line of
JSON for each: name, version, status (0: the connection was closed), and the body's beginning."""

import concurrent.futures
import json
import re
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events

PORT, TOKEN = int(sys.argv[1]), sys.argv[2]
NS = "/api/v1/namespaces/default"
MAP = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"wire"}%s}'
JSON = ("content-type", "application/json")
MERGE = ("content-type", "application/merge-patch+json")
JPATCH = ("content-type", "application/json-patch+json")
APPLY = ("content-type", "application/apply-patch+yaml")


def cases():
    paths = [
        NS + "/configmaps/", NS + "//configmaps", "//api/v1/pods", "/api//v1/pods", NS + "/configmaps/../secrets", NS + "/./configmaps",
        NS + "/configmaps/%2e%2e/secrets", NS + "/configmaps%2fx", NS + "/configmaps/x%2fy", NS + "/configmaps/x%5cy", NS + "/configmaps/x%00",
        NS + "/configmaps/x%0a", NS + "/configmaps/%ff", NS + "/configmaps/%zz", NS + "/configmaps/%", NS + "/configmaps/x%2500",
        NS + "/configmaps/a;b=c/d/e", NS + "/ConfigMaps", NS + "/config_maps", "/api/V1/pods", "/api/1/pods", "/apis/apps/v1", "/apis/Apps/v1/deployments",
        "/apis/a..b/v1/x", "/api/v1/namespaces/a/namespaces/b/pods", "/api/v1/namespaces/DEFAULT/pods", "/api/v1/namespaces/a.b/pods",
        "/api/v1/namespaces/-a/pods", "/api/v1/namespaces/" + "a" * 64 + "/pods", NS + "/pods/" + "a" * 1100, NS + "/pods/x/y/z", NS + "/pods/x/status/y",
        "/api/v1/proxy/namespaces/a/pods/x", "/api/v1/watch", "/api/v1/namespaces/", "/debug/pprof", "/logs", "/logs/x", "/swagger.json", "/ui", "/run",
        "/exec", "/proxy", "/api/v1/nodes/n/exec", NS + "/services/x/exec", NS + "/services/x/log", "/apis/a/v1/b/c/proxy", "/apis/a/v1/b/c/portforward",
        "/foo", "/api/v1/../../foo", "/.well-known/other", "/metrics/cadvisor", "/healthz/", "/openapi", "/openapi/v4", "/version/x", "/" + "a/" * 70 + "b",
        NS + "/pods/x?watch=true", "/api/v1/namespaces/a%00/pods", "/api/v1/namespaces/%20/pods",
    ]
    # One of them is a path that there is.
    paths.remove("/apis/apps/v1")
    for path in paths:
        yield "path", "GET", path, [], b""
    for query in [
        "watch=maybe", "watch=1&watch=0", "watch=true;limit=1", "limit=x", "limit=-1", "limit=1&limit=2", "fieldSelector=a", "fieldSelector=a=b,a=c",
        "fieldSelector=metadata.name%3Da%2Cmetadata.name%3Db", "labelSelector=%00", "resourceVersion=%0a", "unknown=1", "Watch=1", "watch=%74rue%00",
        "=x", "&=x", "limit=1&=2", "a&b", "includeObject=All", "pretty=perhaps", "dryRun=All", "fieldManager=x", "force=true", "export=true", "exact=1",
        "timeoutSeconds=1s", "allowWatchBookmarks=yes", "continue=%7f%00", "x=" + "y" * 70000, "&".join("a%d=1" % n for n in range(1100)),
    ]:
        yield "query", "GET", NS + "/configmaps?" + query, [], b""
    create = NS + "/configmaps"
    nested = '{"a":' * 3000 + "1" + "}" * 3000
    for body in [
        "", "{", "}", "[]", "1", '"x"', "null", "true", "{]", "{'a':1}", '{"a":1,}', '{"a":01}', '{"a":+1}', '{"a":NaN}', '{"a":Infinity}', '{"a":.5}',
        '{"a" 1}', '{"a":1} {"b":2}', '{"a":1}x', '{"a":"\\x41"}', '{"a":"\\ud800"}', '{"a":"\t"}', '{"a":"\x00"}', "\ufeff" + MAP % "",
        "/* c */" + MAP % "", MAP % ',"data":{"a":"b","a":"c"}', MAP % ',"data":{"a":"b"},"data":{"c":"d"}', MAP % ',"kind":"Secret"',
        MAP % ',"Kind":"Secret"', MAP % ',"METADATA":{"name":"x"}', MAP % ',"metadata":{"name":"y"}', MAP % ',"meta\\u0064ata":{"name":"y"}',
        MAP % ',"x":' + nested, nested, "[" * 100000, MAP.replace('"wire"', '"../x"') % "", MAP.replace('"wire"', "5") % "",
        MAP.replace('{"name":"wire"}', "[]") % "", MAP.replace('"name":"wire"', '"name":"wire","namespace":"kube-system"') % "",
        '{"apiVersion":"v1","kind":"ConfigMapList","items":[]}', "apiVersion: v1\nkind: ConfigMap\n", "k8s\x00\n\x00", "\x1f\x8b\x08",
        MAP % ',"data":{"m":"[pii.email]"}',
    ]:
        yield "body", "POST", create, [JSON], body.encode()
    yield "body", "POST", create, [JSON], b'{"a":"\xff\xfe"}'
    yield "body", "POST", create, [JSON], (MAP % (',"data":{"a":"' + "x" * (3 << 20) + '"}')).encode()
    for kind in ["text/plain", "application/yaml; charset=utf-16", "application/cbor", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                 "application/json; charset=utf-7", "application/json, text/plain", "application/vnd.kubernetes.protobuf", "", "application/merge-patch+json"]:
        yield "type", "POST", create, [("content-type", kind)], (MAP % "").encode()
    yield "type", "POST", create, [JSON, ("content-type", "application/yaml")], (MAP % "").encode()
    one = NS + "/configmaps/none"
    for kind, body in [
        (JPATCH, "{}"), (JPATCH, '[{"op":"add"}]'), (JPATCH, '[{"op":"explode","path":"/a"}]'), (JPATCH, '[{"op":"add","path":"a","value":1}]'),
        (JPATCH, '[{"op":"add","path":"/a~2","value":1}]'), (JPATCH, '[{"op":"add","path":"","value":1}]'), (JPATCH, '[{"op":"add","path":"/a"}]'),
        (JPATCH, '[{"op":"add","path":"/a","value":1,"extra":1}]'), (JPATCH, '[{"op":"add","op":"remove","path":"/a","value":1}]'),
        (JPATCH, "[" + ",".join(['{"op":"test","path":"/a","value":1}'] * 10001) + "]"), (MERGE, "[]"), (MERGE, "x"), (APPLY, "a: &x b\nc: *x"), (APPLY, '{"<<":{"a":1}}'),
        (JSON, "{}"), (("content-type", "application/patch"), "{}"),
    ]:
        yield "patch", "PATCH", one, [kind], body.encode()
    for method, path in [("PUT", create), ("PATCH", create), ("POST", one), ("OPTIONS", one), ("TRACE", one), ("get", one), ("PROPFIND", one), ("HEAD2", one),
                         ("POST", "/version"), ("DELETE", "/healthz"), ("PUT", "/api")]:
        yield "method", method, path, [JSON], (MAP % "").encode()
    yield "body of a read", "GET", one, [JSON], b'{"a":1}'
    yield "body of a read", "GET", "/version", [JSON], b'{"a":1}'
    for body in ['{"kind":"Pod"}', '{"dryRun":["None"]}', '{"dryRun":["All","All"]}', '{"unknown":1}', "[]", "x"]:
        yield "delete", "DELETE", one, [JSON], body.encode()
    yield "delete", "DELETE", one + "?dryRun=All", [JSON], b'{"kind":"DeleteOptions"}'
    for accept in ["application/cbor", "text/html", "application/json;evil=1", "application/json;as=a/b", ",".join(["a/b"] * 40), "x" * 5000, "\xff"]:
        yield "accept", "GET", one, [("accept", accept)], b""
    yield "accept", "GET", one, [("accept", "application/cbor"), ("accept", "application/yaml")], b""


SMUGGLED = "GET %s/secrets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % (NS, TOKEN)
GOOD = "Host: a\r\nAuthorization: Bearer %s\r\n" % TOKEN


def raw():
    """Whole requests of HTTP/1.1, some of which hold a second one."""
    post = "POST %s/configmaps HTTP/1.1\r\n%sContent-Type: application/json\r\n" % (NS, GOOD)
    yield "length twice", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + SMUGGLED
    yield "length and chunks", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield "chunks twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield "chunks in other words", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield "a blank before the colon", post + "Content-Length : 2\r\n\r\n{}" + SMUGGLED
    yield "a folded line", post + "Content-Length: 0\r\nX: a\r\n b\r\n\r\n" + SMUGGLED
    yield "a sign", post + "Content-Length: +2\r\n\r\n{}" + SMUGGLED
    yield "hex", post + "Content-Length: 0x2\r\n\r\n{}" + SMUGGLED
    yield "a bad chunk", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED
    yield "a bare return", post + "Content-Length: 0\r\nX: a\rGET /x\r\n\r\n" + SMUGGLED
    yield "a zero byte", post + "Content-Length: 0\r\nX: a\x00b\r\n\r\n" + SMUGGLED
    yield "no host", "GET /version HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n" % TOKEN
    yield "two hosts", "GET /version HTTP/1.1\r\n" + GOOD + "Host: b\r\n\r\n"
    yield "a version", "GET /version HTTP/9.9\r\n" + GOOD + "\r\n"
    yield "no version", "GET /version\r\n\r\n"
    yield "two credentials", "GET /version HTTP/1.1\r\n" + GOOD + "Authorization: Bearer other\r\n\r\n"
    yield "a long head", "GET /version HTTP/1.1\r\n" + GOOD + "X: " + "a" * (1 << 20) + "\r\n\r\n"
    yield "many fields", "GET /version HTTP/1.1\r\n" + GOOD + "".join("X%d: a\r\n" % n for n in range(5000)) + "\r\n"
    up = "Connection: Upgrade\r\nUpgrade: %s\r\n"
    for name, path, to in [
        ("upgrade of a read", NS + "/secrets", "SPDY/3.1"), ("upgrade of a watch", NS + "/secrets?watch=1", "websocket"),
        ("upgrade to HTTP/2", NS + "/secrets", "h2c"), ("upgrade to two", NS + "/pods/x/exec?command=a&stdout=1", "SPDY/3.1, websocket"),
        ("upgrade to something", NS + "/pods/x/exec?command=a&stdout=1", "tcp"),
    ]:
        yield name, "GET %s HTTP/1.1\r\n" % path + GOOD + up % to + "\r\n" + SMUGGLED
    yield "an exec without upgrade", "POST %s/pods/x/exec?command=a&stdout=1 HTTP/1.1\r\n" % NS + GOOD + "Content-Length: 0\r\n\r\n"
    yield "CONNECT", "CONNECT 10.0.0.1:443 HTTP/1.1\r\n" + GOOD + "\r\n" + SMUGGLED


def tls(protocol):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", PORT)), server_hostname="localhost")
    stream.settimeout(20)
    return stream


def answer(stream):
    """All that comes until the first answer is whole."""
    data = b""
    try:
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found:
                length = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                if length and len(body) >= length[0]:
                    break
            piece = stream.recv(65536)
            if not piece:
                break
            data += piece
    except (TimeoutError, OSError):
        pass
    return data


def say(name, version, status, body):
    line = {"name": name, "version": version, "status": status, "body": body[:600].decode("latin-1")}
    sys.stdout.write(json.dumps(line) + "\n")


def one(name, data):
    stream = tls("http/1.1")
    try:
        stream.sendall(data)
    except OSError:
        pass
    said = answer(stream)
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0
    # A second answer would be the smuggled one's.
    say(name + (" (two answers)" if len(re.findall(rb"HTTP/1\.1 \d\d\d ", said)) > 1 else ""), 1, status, body)
    stream.close()


def two(name, method, path, headers, body):
    stream = tls("h2")
    config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None)
    link = h2.connection.H2Connection(config)
    link.initiate_connection()
    head = [(b":method", method.encode()), (b":path", path.encode("latin-1")), (b":scheme", b"https"), (b":authority", b"localhost"),
            (b"authorization", b"Bearer " + TOKEN.encode())]
    head += [(key.encode(), value.encode("latin-1")) for key, value in headers]
    status, said, over = 0, b"", False
    try:
        link.send_headers(1, head, end_stream=not body)
        stream.sendall(link.data_to_send())
        while not over:
            while body and (room := min(link.local_flow_control_window(1), link.max_outbound_frame_size, len(body))) > 0:
                link.send_data(1, body[:room], end_stream=room == len(body))
                body = body[room:]
            stream.sendall(link.data_to_send())
            data = stream.recv(65536)
            if not data:
                break
            for event in link.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    said += event.data
                    link.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    over = True
                    body = b""
    except (OSError, TimeoutError, h2.exceptions.ProtocolError):
        pass
    say(name, 2, status, said)
    stream.close()


def main():
    pool = concurrent.futures.ThreadPoolExecutor(8)
    asked = []
    for name, method, path, headers, body in cases():
        name = "%s: %s %s %s %s" % (name, method, path[:80], headers and headers[-1][1][:30], body[:50].decode("latin-1"))
        fields = "".join("%s: %s\r\n" % pair for pair in headers)
        length = "Content-Length: %d\r\n" % len(body) if body or method != "GET" else ""
        head = "%s %s HTTP/1.1\r\n%s%s%s\r\n" % (method, path, GOOD, fields, length)
        asked.append(pool.submit(one, name, head.encode("latin-1") + body))
        asked.append(pool.submit(two, name, method, path, headers, body))
    for name, text in raw():
        asked.append(pool.submit(one, name, text.encode("latin-1")))
    for each in asked:
        each.result()
    # A body of 100 MB, and one that never comes.
    big = MAP % (',"data":{"a":"%s"}' % ("x" * (100 << 20)))
    head = "POST %s/configmaps HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (NS, GOOD, len(big))
    one("100 MB", (head + big).encode())
    two("100 MB", "POST", NS + "/configmaps", [JSON], big.encode())
    slow = tls("http/1.1")
    slow.sendall((head + '{"apiVersion"').encode())
    one("while another is slow", ("GET %s/configmaps?watch=maybe HTTP/1.1\r\n%s\r\n" % (NS, GOOD)).encode())
    slow.close()


main()

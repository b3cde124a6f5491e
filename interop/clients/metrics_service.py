"""What an aggregated API of metrics says (metrics.k8s.io/v1beta1), of one node and two pods. Usage: metrics_service.py PORT CERT KEY"""

import http.server
import json
import ssl
import sys

API = "metrics.k8s.io/v1beta1"
WHEN = {"timestamp": "2026-01-01T00:00:00Z", "window": "30s"}


def kind(name, plural, namespaced):
    return {"name": plural, "singularName": "", "namespaced": namespaced, "kind": name, "verbs": ["get", "list"]}


def pod(name, cpu, memory):
    container = {"name": "a", "usage": {"cpu": cpu, "memory": memory}}
    return {"metadata": {"name": name, "namespace": "measured"}, "containers": [container], **WHEN}


def listed(name, items):
    return {"kind": name, "apiVersion": API, "metadata": {}, "items": items}


PODS = listed("PodMetricsList", [pod("one", "250m", "64Mi"), pod("two", "1", "2Gi")])
NODE = {"metadata": {"name": "n1"}, "usage": {"cpu": "500m", "memory": "1Gi"}, **WHEN}
SAID = {
    "": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API,
        "resources": [kind("NodeMetrics", "nodes", False), kind("PodMetrics", "pods", True)],
    },
    "/nodes": listed("NodeMetricsList", [NODE]),
    "/nodes/n1": {"kind": "NodeMetrics", "apiVersion": API, **NODE},
    "/pods": PODS,
    "/namespaces/measured/pods": PODS,
}


class Metrics(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0].removeprefix(f"/apis/{API}")
        body = json.dumps(SAID.get(path, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})).encode()
        self.send_response(200 if path in SAID else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Metrics)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()

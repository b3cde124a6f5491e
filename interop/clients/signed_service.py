"""A service that takes nothing but requests that AWS Signature Version 4 signs, checked by Python's standard library alone.

Usage: signed_service.py PORT. The key is `AKIDTEST` with `signing-key-of-the-tests`, in region `eu-test-1` for `s3`.
"""
import hashlib
import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SECRET, SCOPE = b"signing-key-of-the-tests", "eu-test-1/s3/aws4_request"


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.headers.get("Authorization", "")
        parts = dict(part.strip().split("=", 1) for part in said.partition(" ")[2].split(",") if "=" in part)
        names = parts.get("SignedHeaders", "").split(";")
        url = urlsplit(self.path)
        pairs = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in parse_qsl(url.query, keep_blank_values=True))
        digest = hashlib.sha256(body).hexdigest()
        fields = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in names if name in self.headers)
        query = "&".join(f"{n}={v}" for n, v in pairs)
        canonical = "\n".join([self.command, quote(unquote(url.path), safe="/-_.~"), query, fields, ";".join(names), digest])
        date = self.headers.get("X-Amz-Date", "")
        scope = f"{date[:8]}/{SCOPE}"
        words = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = b"AWS4" + SECRET
        for part in scope.split("/"):
            key = mac(key, part)
        good = hmac.compare_digest(mac(key, words).hex(), parts.get("Signature", ""))
        must = {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
        good = good and must and self.headers["X-Amz-Content-Sha256"] == digest and parts["Credential"] == f"AKIDTEST/{scope}"
        text = json.dumps({"signed": good, "names": names, "bytes": len(body), "said": said}).encode()
        self.send_response(200 if good else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

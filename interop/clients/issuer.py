"""An issuer of tokens, made with PyJWT. Usage:

issuer.py key DIR KID ALG             makes a key and publishes it in DIR/jwks.json (KID may be there already: replaced)
issuer.py drop DIR KID                takes a key out of DIR/jwks.json
issuer.py sign DIR KID ALG            signs the claims on standard input; prints the token
issuer.py serve DIR PORT CERT KEY     serves DIR/jwks.json and its discovery over HTTPS, at https://localhost:PORT/o
"""
import http.server
import json
import os
import ssl
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

VERB, DIR = sys.argv[1:3]
JWKS = os.path.join(DIR, "jwks.json")


def published():
    try:
        with open(JWKS) as file:
            return json.load(file)["keys"]
    except FileNotFoundError:
        return []


def publish(keys):
    with open(JWKS + ".new", "w") as file:
        json.dump({"keys": keys}, file)
    os.rename(JWKS + ".new", JWKS)


def make(alg):
    if alg[:2] in ("RS", "PS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if alg[:2] == "ES":
        return ec.generate_private_key({"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}[alg]())
    return ed25519.Ed25519PrivateKey.generate()


def key(kid, alg):
    private = make(alg)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open(os.path.join(DIR, kid + ".pem"), "wb") as file:
        file.write(private.private_bytes(*form))
    public = json.loads(get_default_algorithms()[alg].to_jwk(private.public_key()))
    public.update(kid=kid, alg=alg, use="sig")
    publish([old for old in published() if old["kid"] != kid] + [public])


def sign(kid, alg):
    with open(os.path.join(DIR, kid + ".pem"), "rb") as file:
        private = serialization.load_pem_private_key(file.read(), None)
    print(jwt.encode(json.load(sys.stdin), private, algorithm=alg, headers={"kid": kid}))


def serve(port, cert, private):
    place = f"https://localhost:{port}/o"

    class Issuer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/o/.well-known/openid-configuration":
                said = {"issuer": place, "jwks_uri": f"{place}/jwks"}
            elif self.path == "/o/jwks":
                said = {"keys": published()}
            else:
                return self.send_error(404)
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if VERB == "key":
    key(*sys.argv[3:])
elif VERB == "drop":
    publish([old for old in published() if old["kid"] != sys.argv[3]])
elif VERB == "sign":
    sign(*sys.argv[3:])
else:
    serve(*sys.argv[3:])

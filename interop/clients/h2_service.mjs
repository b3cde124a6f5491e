// A service that speaks HTTP/2 alone: over TLS, or in plain to whoever knows.
// Usage: h2_service.mjs PORT LOG [CERT KEY]
// Each request that arrives whole is a line of JSON in LOG.
import http2 from "node:http2";
import fs from "node:fs";

const [port, log, cert, key] = process.argv.slice(2);
const user = { id: 1, name: "Ada Osei", ssn: "536-22-8391", email: "ada.osei@example.com", balance: 12.5 };

function answer(stream, headers, body) {
  const path = headers[":path"].split("?")[0];
  const json = { ":status": 200, "content-type": "application/json" };
  if (path === "/users/1") {
    stream.respond({ ...json, "x-owner": user.email, etag: '"v1"' });
    stream.end(headers[":method"] === "HEAD" ? undefined : JSON.stringify(user));
  } else if (path === "/echo") {
    stream.respond({ ":status": 200, "content-type": headers["content-type"] ?? "application/octet-stream" });
    stream.end(body);
  } else if (path === "/headers") {
    stream.respond(json);
    stream.end(JSON.stringify({ fields: Object.entries(headers).map(([n, v]) => `${n}: ${v}`) }));
  } else if (path === "/events") {
    stream.respond({ ":status": 200, "content-type": "text/event-stream" });
    let n = 0;
    const timer = setInterval(() => {
      if (n === 3) {
        clearInterval(timer);
        return stream.end("data: [DONE]\n\n");
      }
      stream.write(`id: ${n}\ndata: ${JSON.stringify({ n: n++, mail: user.email })}\n\n`);
    }, 600);
  } else if (path === "/trailers") {
    stream.respond({ ...json }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-mail": user.email }));
    stream.end(JSON.stringify({ ssn: user.ssn }));
  } else if (path === "/interim") {
    stream.additionalHeaders({ ":status": 103, link: "</a>; rel=preload" });
    stream.respond(json);
    stream.end("{}");
  } else if (path === "/pushed") {
    try {
      stream.pushStream({ ":path": "/planted" }, (error, pushed) => {
        if (!error) {
          pushed.respond(json);
          pushed.end("{}");
        }
      });
    } catch {
      // Push is off: so it must be.
    }
    stream.respond(json);
    stream.end(JSON.stringify({ push: stream.pushAllowed }));
  } else if (path === "/cut") {
    stream.respond(json);
    stream.write('{"half": ');
    setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 100);
  } else if (path === "/short") {
    stream.respond({ ...json, "content-length": "1000" });
    stream.end('{"half": 1}');
  } else if (path === "/gone") {
    stream.session.goaway();
    stream.respond(json);
    stream.end("{}");
  } else if (path === "/empty") {
    stream.respond({ ":status": 204 }, { endStream: true });
  } else {
    stream.respond({ ":status": 404, "content-type": "application/json" });
    stream.end("{}");
  }
}

function serve(stream, headers) {
  const pieces = [];
  stream.on("error", () => {});
  stream.on("data", (piece) => pieces.push(piece));
  stream.on("end", () => {
    const body = Buffer.concat(pieces);
    const seen = { method: headers[":method"], target: headers[":path"], authority: headers[":authority"],
      fields: Object.entries(headers).map(([n, v]) => [n, String(v)]), size: body.length };
    fs.appendFileSync(log, JSON.stringify(seen) + "\n");
    if (!stream.destroyed) answer(stream, headers, body);
  });
}

const server = cert
  ? http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: false })
  : http2.createServer();
server.on("stream", serve);
server.on("sessionError", () => {});
server.listen(Number(port), "127.0.0.1");

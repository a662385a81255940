#!/usr/bin/env python3
"""An engine that misbehaves, on the unix socket given as argument. The target's name says how:
silent (no answer), headers (half of them), half (of a chunked body, then closed), stall (half, then silence),
endless (headers without end), refuse (a message with control characters)."""
import socket
import sys

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
INSPECT = b'{"Id":"sha256:' + b"ab" * 32 + b'"}'


def wait_for_end(peer):
    while peer.recv(4096):
        pass


def serve(peer):
    request = b""
    while b"\r\n\r\n" not in request:
        more = peer.recv(4096)
        if not more:
            return
        request += more
    path = request.split(b" ")[1]
    if path.endswith(b"/json") and b"refuse" not in path:
        peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(INSPECT) + INSPECT)
        path = b""
        return
    if b"silent" in path:
        wait_for_end(peer)
    elif b"headers" in path:
        peer.sendall(OK + b"Content-Le")
    elif b"half" in path:
        peer.sendall(CHUNKED + b"1000\r\n" + b"x" * 100)
    elif b"stall" in path:
        peer.sendall(CHUNKED + b"1000\r\n" + b"x" * 100)
        wait_for_end(peer)
    elif b"endless" in path:
        peer.sendall(OK)
        for _ in range(100000):
            peer.sendall(b"X-Filler: 0123456789abcdef0123456789abcdef\r\n")
    else:
        body = b"\x1b[31mno\x1b[0m\n"
        peer.sendall(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(8)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    try:
        serve(connection)
    except OSError:
        pass
    connection.close()

#!/usr/bin/env python3
"""A client of 2013: the 17-byte header, and nothing of today's.

usage: classic.py HOST PORT [echo|bad|idle|json MAGIC VERSION]

echo  bodies of 0 to 64 KiB come back from command 1, glued and cut in every way, in order
bad   a wrong magic and impossible lengths close that connection, and only that one
idle  500 connections that say nothing are closed, while another is served
json  command 101 over JSON bodies, with the magic (five numbers, comma between) and version
"""
import json
import socket
import struct
import sys
import time

HEADER = struct.Struct("!5s3I")


class Client:
    def __init__(self, host, port, magic=b"\0\0\0\0\0", version=0):
        self.magic, self.version = magic, version
        self.sock = socket.create_connection((host, port), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def frame(self, command, body):
        return HEADER.pack(self.magic, self.version, len(body) + 4, command) + body

    def send(self, command, body):
        self.sock.sendall(self.frame(command, body))

    def receive(self):
        """The next frame: (command, body)."""
        while True:
            if len(self.got) >= HEADER.size:
                magic, version, length, command = HEADER.unpack_from(self.got)
                assert magic == self.magic, magic
                assert version == self.version, version
                end = HEADER.size + length - 4
                if len(self.got) >= end:
                    body, self.got = self.got[HEADER.size:end], self.got[end:]
                    return command, body
            more = self.sock.recv(1 << 16)
            if not more:
                raise EOFError("the server closed the connection")
            self.got += more

    def expect(self, command, body):
        got = self.receive()
        assert got == (command, body), "want command %d with %d bytes, got command %d with %d" % (
            command, len(body), got[0], len(got[1]))

    def closed(self, seconds):
        """Whether the server closes the connection within the time."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b""
        except socket.timeout:
            return False
        except ConnectionError:
            return True


def pattern(n, seed=0):
    return bytes((i * 7 + seed) & 255 for i in range(n))


def echo(host, port):
    c = Client(host, port)
    sizes = [0, 1, 2, 3, 4, 16, 17, 18, 255, 256, 4095, 4096, 4097, 16384, 65535, 65536]
    for n in sizes:
        c.send(1, pattern(n))
        c.expect(1, pattern(n))
    print("bodies of %d sizes from 0 to 65536 bytes" % len(sizes))

    c.sock.sendall(b"".join(c.frame(1, pattern(i, i)) for i in range(60)))
    for i in range(60):
        c.expect(1, pattern(i, i))
    c.sock.sendall(b"".join(c.frame(1, pattern(i % 50, i)) for i in range(100)))
    for i in range(100):
        c.expect(1, pattern(i % 50, i))
    print("100 frames glued into one write, answered in order")

    whole = c.frame(1, pattern(23))
    for cut in range(1, len(whole)):
        c.sock.sendall(whole[:cut])
        time.sleep(0.002)
        c.sock.sendall(whole[cut:])
        c.expect(1, pattern(23))
    for b in whole:
        c.sock.sendall(bytes([b]))
        time.sleep(0.001)
    c.expect(1, pattern(23))
    print("one frame cut at each of %d places" % (len(whole) - 1))


def bad(host, port):
    good = Client(host, port)
    for what, raw in [
        ("a wrong magic", b"\1\2\3\4\5" + struct.pack("!3I", 0, 4, 1)),
        ("a length under 4", HEADER.pack(b"\0\0\0\0\0", 0, 3, 1)),
        ("a length of 0", HEADER.pack(b"\0\0\0\0\0", 0, 0, 1)),
        ("a length over the limit", HEADER.pack(b"\0\0\0\0\0", 0, 65536 + 5, 1)),
        ("a length of 4 GiB", HEADER.pack(b"\0\0\0\0\0", 0, 0xFFFFFFFF, 1)),
    ]:
        c = Client(host, port)
        c.sock.sendall(raw)
        assert c.closed(5), what + " did not close the connection"
        good.send(1, b"still here")
        good.expect(1, b"still here")
        print(what + " closes that connection only")


def idle(host, port):
    silent = [Client(host, port) for _ in range(500)]
    good = Client(host, port)
    start = time.time()
    left = list(silent)
    while left and time.time() - start < 30:
        good.send(1, b"served")
        good.expect(1, b"served")
        left = [c for c in left if not c.closed(0.001)]
    assert not left, "%d of 500 silent connections are still open" % len(left)
    good.send(1, b"served")
    good.expect(1, b"served")
    print("500 silent connections were closed after %.1f s" % (time.time() - start))


def json_login(host, port, magic, version):
    c = Client(host, port, bytes(int(n) for n in magic.split(",")), int(version))
    c.send(101, json.dumps({"name": "old friend"}).encode())
    command, body = c.receive()
    reply = json.loads(body)
    assert command == 101, command
    assert isinstance(reply.get("player_id", reply.get("playerId")), int), reply
    print("command 101 answered", reply)
    c.send(102, json.dumps({"room": "", "extra": 1}).encode())
    command, body = c.receive()
    reply = json.loads(body)
    assert command == 102 and reply["result"] is False, reply
    print("a refused command answered", reply)


def main():
    host, port, what = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["all"])[0]
    if what in ("echo", "all"):
        echo(host, port)
    if what in ("bad", "all"):
        bad(host, port)
    if what in ("idle", "all"):
        idle(host, port)
    if what == "json":
        json_login(host, port, sys.argv[4], sys.argv[5])


main()

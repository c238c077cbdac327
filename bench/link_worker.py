"""Round trips and copies under moai and over a plain socket, for sync_bench.py and copy_bench.py."""
import os
import socket
import struct
import sys
import time

import torch

import harness

HEADER = struct.Struct("<QQ")  # bytes that come, bytes to answer


def echo(peer):
    """The yardstick's server: takes what a header says and answers as many bytes as it asks for."""
    buffer = memoryview(bytearray(64 << 20))
    while header := peer.recv(HEADER.size, socket.MSG_WAITALL):
        come, answer = HEADER.unpack(header)
        receive(peer, buffer[:come])
        peer.sendall(buffer[:answer])


def receive(peer, into):
    at = 0
    while at < len(into):
        at += peer.recv_into(into[at:])


def start_echo(link):
    listener = socket.socket(socket.AF_UNIX if link == "shm" else socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(f"\0moai-bench-{os.getpid()}" if link == "shm" else ("127.0.0.1", 0))
    listener.listen(1)
    if os.fork() == 0:  # before the device is used
        peer, _ = listener.accept()
        if link == "tcp":
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        echo(peer)
        os._exit(0)
    near = socket.socket(listener.family, socket.SOCK_STREAM)
    near.connect(listener.getsockname())
    if link == "tcp":
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near


def exchange(sent, received):
    peer.sendall(HEADER.pack(len(sent), len(received)))
    peer.sendall(sent)
    receive(peer, received)


def spread(body, count):
    """Microseconds of `count` calls: median and 99th percentile."""
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        body()
        times.append((time.perf_counter_ns() - begin) / 1e3)
    times.sort()
    return times[count // 2], times[count * 99 // 100]


def round_trip(count):
    four, answer = bytes(4), memoryview(bytearray(4))
    message = HEADER.pack(4, 4) + four

    def body():
        peer.sendall(message)
        receive(peer, answer)
    return spread(body, count)[0]


def op_and_read(device, count):
    x = torch.ones((), device=device)
    return spread(lambda: (x + 1).item(), count)


def seconds(body, count):
    """Per call; the best of three, the page faults of a first touch are not the link's."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(count):
            body()
        best = min(best, (time.perf_counter() - begin) / count)
    return best


def host_bytes(size):
    return torch.ones(size, dtype=torch.uint8)


def memcpy(size, count):
    a, b = host_bytes(size), host_bytes(size)
    return seconds(lambda: b.copy_(a), count)


def upload(size, count):
    host, device = host_bytes(size), host_bytes(size).cuda()

    def body():
        device.copy_(host)
        device[0].item()
    return seconds(body, count)


def download(size, count):
    host, device = host_bytes(size), host_bytes(size).cuda()
    return seconds(lambda: host.copy_(device), count)


def socket_upload(size, count):
    sent, answer = memoryview(bytearray(size)), memoryview(bytearray(1))
    return seconds(lambda: exchange(sent, answer), count)


def socket_download(size, count):
    answer = memoryview(bytearray(size))
    return seconds(lambda: exchange(b"", answer), count)


peer = start_echo(sys.argv[1])
harness.serve_commands(sync=lambda n: op_and_read("cuda", n), eager=lambda n: op_and_read("cpu", n)[0], round_trip=round_trip,
                       memcpy=memcpy, upload=upload, download=download, socket_upload=socket_upload,
                       socket_download=socket_download)

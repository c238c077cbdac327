"""Upload and download against a memcpy of the same bytes and against a plain socket of the same kind.

An upload counts until the device has the bytes: it is followed by a read of one number, the socket's by an answer.
"""
import statistics

import harness

SIZES = [4 << 10, 256 << 10, 4 << 20, 64 << 20]


def run(args, report):
    report.section("copy", "Copies (GB/s)",
                   [("link", "link", "<5"), ("way", "way", "<8"), ("KiB", "kib", "6"), ("memcpy", "memcpy_gbs", "8.2f"),
                    ("socket", "socket_gbs", "8.2f"), ("moai", "moai_gbs", "8.2f"), ("moai / memcpy", "of_memcpy", "13.2f"),
                    ("moai / socket", "of_socket", "13.2f")])
    cores = harness.all_cores()
    for link in ("shm", "tcp"):
        with harness.server(cores, link) as url:
            worker = harness.Worker("link_worker.py", link, cores=cores, moai=["--server", url])
            for size in SIZES[:2] if args.quick else SIZES:
                for way in ("upload", "download"):
                    row(args, report, worker, link, way, size)
            worker.close()


def row(args, report, worker, link, way, size):
    count = 2 if args.quick else max(2, min(200, (128 << 20) // size))
    memcpy = lambda: worker.call("memcpy", size, count)
    moai = lambda: worker.call(way, size, count)
    socket = lambda: worker.call("socket_" + way, size, count)
    for warm in (memcpy, moai, socket):
        warm()
    of_memcpy, of_socket, seconds = [], [], [[], [], []]
    for _ in range(args.rounds):
        a, b, c = memcpy(), moai(), socket()
        of_memcpy.append(a / b), of_socket.append(c / b)
        for kept, value in zip(seconds, (a, b, c)):
            kept.append(value)
    rates = [size / statistics.median(s) / 1e9 for s in seconds]
    report.row(dict(link=link, way=way, kib=size >> 10, cores=harness.all_cores(), memcpy_gbs=rates[0], moai_gbs=rates[1],
                    socket_gbs=rates[2], of_memcpy=statistics.median(of_memcpy), of_socket=statistics.median(of_socket)))

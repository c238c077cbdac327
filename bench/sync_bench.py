"""One operator and the read of its 4 bytes, the shortest wait that a program can see, over shm and tcp.

The yardstick is a message of 4 bytes and its answer over a plain socket of the same kind between two processes.
"""
import harness


def run(args, report):
    report.section("sync", "Sync op: (x + 1).item() against a plain socket's round trip (microseconds)",
                   [("link", "link", "<5"), ("cores", "cores", "<5"), ("cpu eager", "eager_us", "9.1f"), ("socket", "socket_us", "9.1f"),
                    ("moai", "moai_us", "9.1f"), ("moai p99", "moai_p99_us", "9.1f"), ("moai / socket", "cost", "13.2f")])
    count = 20 if args.quick else 500
    for cores in args.cores[-1:] if args.quick else args.cores:
        for link in ("shm", "tcp"):
            with harness.server(cores, link) as url:
                worker = harness.Worker("link_worker.py", link, cores=cores, moai=["--server", url])
                worker.call("sync", count)
                tails = []

                def moai():
                    middle, tail = worker.call("sync", count)
                    tails.append(tail)
                    return middle

                ratio, plain, ours = harness.interleave(args.rounds, lambda: worker.call("round_trip", count), moai)
                report.row(dict(link=link, cores=cores, eager_us=worker.call("eager", count), socket_us=plain, moai_us=ours,
                                moai_p99_us=sorted(tails)[len(tails) // 2], cost=1 / ratio))
                worker.close()

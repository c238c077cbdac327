"""What recording an operator costs the program, against what CPU eager costs to run it on 8x8 tensors.

Both sides live in one process; nothing is waited for inside the timed part. `thread` is CPU time of the calling
thread, `process` of all threads of the client: the backward thread and what sends.
"""
import harness

CASES = ["add", "add_", "mul_scalar", "div_out", "relu", "sum", "copy_", "cat", "mm", "addmm", "softmax", "layer_norm",
         "view", "transpose", "slice", "empty", "mlp_step"]


def run(args, report):
    report.section("ops", "Client cost per op (microseconds; mlp_step: a whole training step)",
                   [("op", "case", "<12"), ("cpu eager", "eager_us", "9.2f"), ("moai thread", "thread_us", "11.2f"),
                    ("process", "process_us", "9.2f"), ("moai / cpu", "cost", "10.2f"), ("process / cpu", "process_cost", "13.2f")])
    worker = harness.Worker("op_worker.py", cores=harness.all_cores(), moai=["--local"])
    n = 50 if args.quick else 2000
    rounds = args.rounds if args.quick else max(args.rounds, 7)
    for case in CASES:
        count = max(1, n // 50) if case == "mlp_step" else n
        worker.call("time", case, "cpu", count), worker.call("time", case, "cuda", count), worker.call("time", case, "cuda", count)
        process = []

        def moai():
            thread, whole = worker.call("time", case, "cuda", count)
            process.append(whole)
            return thread

        eager = lambda: worker.call("time", case, "cpu", count)[0]
        ratio, plain, ours = harness.interleave(rounds, eager, moai)
        whole = sorted(process)[len(process) // 2]
        report.row(dict(case=case, eager_us=plain, thread_us=ours, process_us=whole, cost=1 / ratio, process_cost=whole / plain, rounds=rounds))
    worker.close()

#!/usr/bin/env python3
"""What the metrics cost: an ordinary server beside one that counts and times nothing (the feature `unmeasured`).

    scripts/metrics-cost.py MEASURED UNMEASURED [--pairs 25] [--requests 100000]

Both run at the same time, each over a data directory of its own, and are put under the same short loads in turns: first
the one, then the other, then the other way round. Each pair of loads gives a ratio, for both were run within a second or
two of each other; what else the machine is doing changes more slowly than that, or hits single pairs, which the median leaves
out. Printed for each kind of load: how much more processor time a request takes with metrics, and how much longer the load
takes; the median of all pairs, and between what bounds the middle half of them lies. Processor time is the one to look at.
Given the same server twice, it shows how far to trust it.

Needs redis-benchmark and nothing but Python's standard library. `make bench-metrics` builds both servers and runs this.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LOADS = [("set", 1), ("get", 1), ("set", 16), ("get", 16)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self, binary, directory):
        self.port = free_port()
        flags = ["--port", str(self.port), "--health-port", "0", "--dir", directory]
        self.process = subprocess.Popen([binary, *flags], stdout=subprocess.DEVNULL)
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"{binary} ended with {self.process.returncode}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                if client.recv(64):
                    return
            time.sleep(0.05)
        raise SystemExit(f"{binary} does not answer")

    def cpu_seconds(self):
        """Processor time of all threads that live. None of a server's ends while it serves."""
        total_ns = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/schedstat") as schedstat:
                total_ns += int(schedstat.read().split()[0])
        return total_ns / 1e9

    def load(self, test, pipeline, requests):
        """(processor microseconds, wall microseconds) of one request."""
        command = ["redis-benchmark", "-p", str(self.port), "-t", test, "-n", str(requests), "-P", str(pipeline)]
        command += ["-r", "100000", "-d", "128", "-c", "50", "-q"]
        cpu, began = self.cpu_seconds(), time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
        took, cpu = time.monotonic() - began, self.cpu_seconds() - cpu
        return cpu / requests * 1e6, took / requests * 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def percent(ratios):
    low, middle, high = (100 * (ratio - 1) for ratio in statistics.quantiles(ratios, n=4, method="inclusive"))
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"


def note(text):
    print(text, end="", file=sys.stderr, flush=True)


def compare(servers, pairs, requests):
    """For each load: the processor time and the wall time of all pairs."""
    for server in servers:
        server.load("set", 16, 4 * requests)
    results = {}
    for test, pipeline in LOADS:
        note(f"{test.upper()}, pipeline {pipeline}: ")
        # Loads of about the same time: the longer a pipeline, the less a request takes.
        count = requests * {("set", 1): 1, ("get", 1): 1, ("set", 16): 2}.get((test, pipeline), 6)
        for number in range(pairs):
            # Whoever goes first has the warmer or the colder machine: they take turns.
            order = (0, 1) if number % 2 == 0 else (1, 0)
            took = {which: servers[which].load(test, pipeline, count) for which in order}
            results.setdefault((test, pipeline), []).append((took[0], took[1]))
            note(".")
        cpu = [measured[0] / unmeasured[0] for measured, unmeasured in results[test, pipeline]]
        note(f" {percent(cpu)}\n")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured")
    parser.add_argument("unmeasured")
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--requests", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        servers = []
        try:
            for number, binary in enumerate([arguments.measured, arguments.unmeasured]):
                servers.append(Server(binary, os.path.join(directory, str(number))))
            results = compare(servers, arguments.pairs, arguments.requests)
        finally:
            for server in servers:
                server.stop()
    print("| load | µs of processor a request, unmeasured | more with metrics | longer with metrics |")
    print("|---|---|---|---|")
    for (test, pipeline), pairs in results.items():
        base = statistics.median(unmeasured[0] for _, unmeasured in pairs)
        cpu, wall = ([measured[of] / unmeasured[of] for measured, unmeasured in pairs] for of in (0, 1))
        print(f"| {test.upper()}, pipeline {pipeline} | {base:.2f} | {percent(cpu)} | {percent(wall)} |")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the metrics cost: an ordinary server beside one that counts and times nothing (the feature `unmeasured`).

    scripts/metrics-cost.py MEASURED UNMEASURED [--rounds 9] [--requests 200000]

Both run one after the other, in turns, each time from an empty data directory under the same load. For each load it prints
how much more processor time a request takes, and how much longer the load takes, with metrics: the median of the rounds,
and the least and the most. Processor time is the one to look at: it depends less on who else was busy. Given the same
server twice, it shows how far to trust it.

Needs redis-benchmark and nothing but Python's standard library. `make bench-metrics` builds both servers and runs this.
"""

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time

LOADS = [("set", 1), ("get", 1), ("set", 16), ("get", 16)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu_seconds(pid):
    """Processor time of all threads that live. None of a server's ends while it serves."""
    total_ns = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as schedstat:
            total_ns += int(schedstat.read().split()[0])
    return total_ns / 1e9


def benchmark(port, test, pipeline, requests):
    command = ["redis-benchmark", "-p", str(port), "-t", test, "-n", str(requests), "-P", str(pipeline)]
    subprocess.run([*command, "-r", "100000", "-d", "128", "-c", "50", "-q"], check=True, stdout=subprocess.DEVNULL, timeout=600)


def wait_for(port, server):
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                if client.recv(64):
                    return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server does not answer")


def measure(binary, requests):
    """(processor microseconds, wall microseconds) of one request, for each load."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = [binary, "--port", str(port), "--health-port", "0", "--dir", directory]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(port, server)
            benchmark(port, "set", 16, requests)
            results = []
            for test, pipeline in LOADS:
                count = requests * (4 if pipeline > 1 else 1)
                cpu, began = cpu_seconds(server.pid), time.monotonic()
                benchmark(port, test, pipeline, count)
                took, cpu = time.monotonic() - began, cpu_seconds(server.pid) - cpu
                results.append((cpu / count * 1e6, took / count * 1e6))
            return results
        finally:
            server.terminate()
            server.wait(60)


def percent(ratios):
    middle, least, most = (100 * (ratio - 1) for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
    return f"{middle:+5.1f} % ({least:+.1f} to {most:+.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured")
    parser.add_argument("unmeasured")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=200_000)
    arguments = parser.parse_args()
    binaries = [arguments.measured, arguments.unmeasured]
    rounds = []
    for number in range(arguments.rounds):
        # Whoever goes first has the warmer or the colder machine: they take turns.
        order = [0, 1] if number % 2 == 0 else [1, 0]
        results = {which: measure(binaries[which], arguments.requests) for which in order}
        rounds.append((results[0], results[1]))
    print("| load | µs of processor a request, unmeasured | more with metrics | longer with metrics |")
    print("|---|---|---|---|")
    for place, (test, pipeline) in enumerate(LOADS):
        cpu = [measured[place][0] / unmeasured[place][0] for measured, unmeasured in rounds]
        wall = [measured[place][1] / unmeasured[place][1] for measured, unmeasured in rounds]
        base = statistics.median(unmeasured[place][0] for _, unmeasured in rounds)
        print(f"| {test.upper()}, pipeline {pipeline} | {base:.2f} | {percent(cpu)} | {percent(wall)} |")


if __name__ == "__main__":
    main()

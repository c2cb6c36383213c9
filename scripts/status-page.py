#!/usr/bin/env python3
"""Tests the status page in headless Chromium, and takes its pictures.

Starts the given server binary, puts it under load, looks at the page in a real browser over the DevTools protocol, and
fails if the page shows nothing, logs an error, overflows a phone's width, or does not notice that the server is gone.

    scripts/status-page.py target/debug/bulkhead-server [directory for pictures]

A server built with failpoints is stalled for some seconds too, and the page has to show it.

Needs chromium and nothing but Python's standard library.
"""

import base64
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(what, condition, patience=30):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            result = condition()
            if result:
                return result
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"in vain for {patience} s: {what}")


class Page:
    """One page of a browser, over a WebSocket of the DevTools protocol."""

    def __init__(self, url):
        host, path = url.removeprefix("ws://").split("/", 1)
        name, port = host.split(":")
        self.socket = socket.create_connection((name, int(port)), timeout=30)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        self.buffer = self.buffer.split(b"\r\n\r\n", 1)[1]
        self.last_id = 0
        self.errors = []

    def take(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 20)
            if not more:
                raise SystemExit("the browser closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self):
        message = b""
        while True:
            head = self.take(2)
            length = head[1] & 0x7F
            if length == 126:
                length = struct.unpack(">H", self.take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.take(8))[0]
            message += self.take(length)
            if head[0] & 0x80:
                return json.loads(message)

    def call(self, method, **params):
        self.last_id += 1
        payload = json.dumps({"id": self.last_id, "method": method, "params": params}).encode()
        mask = secrets.token_bytes(4)
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0xFE]) + struct.pack(">H", size)
        self.socket.sendall(head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)))
        while True:
            message = self.receive()
            if message.get("id") == self.last_id:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"])

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def look(self, width, height, scheme, is_phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        # The charts are drawn to the width, at the next poll.
        time.sleep(2.2)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))


def load(port, stop):
    """A client that writes and reads a little, all the time."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        n = 0
        while not stop.is_set():
            n += 1
            commands = [f"SET key:{n % 997} {'x' * (n % 90)}", f"GET key:{n % 1009}", f"INCR counter:{n % 7}", "PING"]
            client.sendall(("\r\n".join(commands) + "\r\n").encode())
            received = b""
            while received.count(b"\r\n") < 4:
                received += client.recv(65536)
            time.sleep(0.002)


def arm(port, failpoint, action):
    """Whether the server has failpoints, and this one is armed now."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"DEBUG FAILPOINT {failpoint} {action}\r\n".encode())
        return client.recv(1000).startswith(b"+OK")


def check(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def main():
    binary = sys.argv[1]
    pictures = sys.argv[2] if len(sys.argv) > 2 else None
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        raise SystemExit("chromium is missing: apt-get install chromium")
    port, http, devtools = free_port(), free_port(), free_port()
    directory = tempfile.mkdtemp()
    flags = ["--port", str(port), "--health-port", str(http), "--bind", "127.0.0.1", "--dir", directory]
    server = subprocess.Popen([binary, *flags, "--slowlog-log-slower-than", "2000", "--health-stall-threshold", "3000"], stdout=subprocess.DEVNULL)
    chrome = None
    stop = threading.Event()
    try:
        page_url = f"http://127.0.0.1:{http}/"
        eventually("the server is ready", lambda: urllib.request.urlopen(page_url + "readyz").status == 200)
        workers = [threading.Thread(target=load, args=(port, stop), daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"DEBUG SLEEP 0.01\r\nSAVE\r\n")
            client.recv(100)
        chrome = subprocess.Popen(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
             f"--remote-debugging-port={devtools}", f"--user-data-dir={directory}/browser", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        targets = eventually(
            "the browser listens",
            lambda: json.load(urllib.request.urlopen(f"http://127.0.0.1:{devtools}/json/list")),
        )
        page = Page(next(target for target in targets if target["type"] == "page")["webSocketDebuggerUrl"])
        page.call("Runtime.enable")
        page.call("Page.enable")
        page.call("Page.navigate", url=page_url)
        eventually("the page shows a state", lambda: page.evaluate("document.getElementById('status').textContent") in ("ok", "degraded"))
        seconds = 20 if pictures else 4
        eventually("some seconds of history", lambda: page.evaluate("seconds.length") >= seconds, 60)

        check(page.evaluate("document.getElementById('phase').textContent") == "ready", "the page says that the server is ready")
        check(page.evaluate("Math.max(...seconds.map(s => s.commands))") > 100, "it sees the load")
        fields = "new Set([...document.querySelectorAll('polyline')].map(line => line.dataset.field)).size"
        check(page.evaluate(fields) == 7, "every line of every chart is drawn")
        rows = "[...document.querySelectorAll('#commands tbody tr')].map(row => row.cells[0].textContent)"
        check({"set", "incr", "ping"} <= set(page.evaluate(rows)), "commands are listed")
        checks = "[...document.querySelectorAll('ul.checks .badge')].length"
        check(page.evaluate(checks) >= 10, "every check is listed")
        before = page.evaluate("seconds[seconds.length - 1].unix_ms")
        eventually("it is live without reloading", lambda: page.evaluate("seconds[seconds.length - 1].unix_ms") > before)

        for name, width, height, scheme, is_phone in [
            ("status-light", 1280, 1500, "light", False),
            ("status-dark", 1280, 1500, "dark", False),
            ("status-phone", 390, 844, "dark", True),
        ]:
            page.look(width, height, scheme, is_phone)
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            check(overflow <= 0, f"{name}: nothing is wider than the screen")
            if pictures:
                page.picture(os.path.join(pictures, name + ".png"))
        page.look(1280, 1500, "light")
        if arm(port, "engine.write", "return(write-stall)"):
            # First the engine stops writes, then the writer hangs within one.
            stopped = "seconds.filter(second => second.stall === 2).length"
            eventually("the timeline shows the stop of writes", lambda: page.evaluate(stopped) >= 5)
            check(page.evaluate("document.querySelectorAll('#timeline rect').length") > 4, "a write stop is drawn")
            arm(port, "engine.write", "off")
            eventually("writes go on", lambda: page.evaluate("seconds[seconds.length - 1].stall") == 0)
            arm(port, "writer.before-commit", "1*return(stall:8000)")
            status = "document.getElementById('status').textContent"
            eventually("the page shows the stall", lambda: page.evaluate(status) == "failing")
            check(page.evaluate("document.getElementById('phase').textContent") == "not ready: storage-writer", "a stall shows")
            last = "seconds[seconds.length - 1]"
            check(page.evaluate(f"{last}.stall === 2 && {last}.writer_busy_ms > 500"), "the timeline has it")
            check("–" in page.evaluate("document.querySelector('#latency .legend').textContent"), "a second without requests has no latency")
            if pictures:
                page.picture(os.path.join(pictures, "status-stall.png"))
            eventually("the page shows its end", lambda: page.evaluate(status) == "ok")
            check(page.evaluate("document.querySelectorAll('#changes tbody tr').length") >= 2, "the history keeps it")
        stop.set()
        server.terminate()
        server.wait(30)
        eventually("the page says that the server is gone", lambda: page.evaluate("document.body.classList.contains('lost')"))
        check(not page.errors, f"no script failed: {page.errors}")
    finally:
        stop.set()
        for process in (chrome, server):
            if process and process.poll() is None:
                process.terminate()
                process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


main()

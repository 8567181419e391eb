"""Print how much CPU time the service with a process id needs for a message (Linux)."""

import socket
import sys
from pathlib import Path

MESSAGES = 20000
used = Path(f"/proc/{sys.argv[1]}/schedstat")  # begins with nanoseconds on a processor
clients = [socket.create_connection(("127.0.0.1", 21567)) for _ in range(50)]
before = int(used.read_text().split()[0])
for _ in range(MESSAGES // len(clients)):
    for client in clients:
        client.sendall(b"hello")
    for client in clients:
        client.recv(100)
cpu = int(used.read_text().split()[0]) - before
print(f"{cpu / MESSAGES / 1000:.1f} µs of CPU time for each message")

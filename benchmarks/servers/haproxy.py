"""
HAProxy, which ends TLS before the server in C.

Usage: haproxy.py EPOLL PEM, with the program made of epoll.c.
"""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from socket import create_server

CONFIGURATION = """
global
    nbthread 1
    maxconn 2000
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option tcp-smart-accept
frontend tls
    bind fd@{descriptor} ssl crt {pem}
    default_backend stamps
backend stamps
    server epoll {address}
"""

signal.signal(signal.SIGTERM, signal.default_int_handler)
epoll, pem = sys.argv[1:]
with create_server(("127.0.0.1", 0), backlog=4096) as listener, tempfile.TemporaryDirectory() as scratch:
    processes: list[subprocess.Popen[str]] = []
    try:
        backend = subprocess.Popen([epoll], stdout=subprocess.PIPE, text=True)
        processes.append(backend)
        assert backend.stdout
        address = backend.stdout.readline().split()[-1]
        path = Path(scratch, "haproxy.cfg")
        path.write_text(CONFIGURATION.format(descriptor=listener.fileno(), pem=pem, address=address))
        proxy = subprocess.Popen(["haproxy", "-db", "-f", path], pass_fds=[listener.fileno()], text=True)
        processes.append(proxy)
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        proxy.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for process in processes:
            process.terminate()
            process.wait()

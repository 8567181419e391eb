"""Stop the service while a client is connected, and say whether that is still served."""

import os
import signal
import socket
import sys
import time

ADDRESS = ("127.0.0.1", 21567)


def ask(message):
    try:
        client.sendall(message)
        answer = client.recv(100)
    except OSError:
        answer = b""
    print(answer.decode() or "no answer")


def is_listening():
    try:
        socket.create_connection(ADDRESS).close()
    except OSError:
        return False
    return True


client = socket.create_connection(ADDRESS)
ask(b"before")
os.kill(int(sys.argv[1]), signal.SIGTERM)
while is_listening():
    time.sleep(0.05)
ask(b"after")
client.close()

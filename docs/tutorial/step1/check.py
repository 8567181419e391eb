"""Send 20 MiB without reading, half-close, read slowly, and say what is missing."""

import socket
import threading
import time

SIZE = 20 * 1024 * 1024
PATIENCE = 3  # seconds until a server that takes nothing is believed to wait

client = socket.create_connection(("127.0.0.1", 21567), PATIENCE)
data = memoryview(bytes(SIZE))  # zeros: a stamp has none
taken = 0
try:
    while taken < SIZE:
        taken += client.send(data[taken : taken + 65536])
except TimeoutError:
    pass
print(f"taken without reading an answer: {taken / 1024**2:.1f} of 20.0 MiB")
client.settimeout(None)


def send_the_rest():
    client.sendall(data[taken:])
    client.shutdown(socket.SHUT_WR)


threading.Thread(target=send_the_rest).start()
returned = 0
while piece := client.recv(65536):
    returned += piece.count(0)
    time.sleep(0.001)
print(f"missing at the end: {SIZE - returned} of {SIZE} bytes")

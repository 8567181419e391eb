"""The open connections, and how long they stay: nothing in here touches a socket."""

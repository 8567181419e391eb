"""Who is connected, and for how long: nothing in here touches a socket."""

"""Who is connected: how many, since when, for how much longer. Nothing in here touches a socket."""

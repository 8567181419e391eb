"""What an operator sees and does: nothing in here knows a connection."""

"""Wire formats for calls, one file each. Pure: no await, no sockets, no logging in this room."""

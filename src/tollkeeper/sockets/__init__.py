"""Conversations over sockets: what a client's messages ask for, and what it gets, whatever carries them."""

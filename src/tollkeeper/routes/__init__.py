"""Ordinary HTTP behind the gate: match a route, run its plugins, choose a node of its upstream, pass the answer back."""

"""One file per rule for calls; the file's ORDER is its place around the flow, lowest outermost."""

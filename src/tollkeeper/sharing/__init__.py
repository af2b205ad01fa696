"""One answer for several calls: recorded as it comes, followed from its first byte, given again from memory."""

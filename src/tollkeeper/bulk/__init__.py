"""The files' door: prompts from a file or a program through many calls at once, every row answered or explained."""

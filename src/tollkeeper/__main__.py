"""`python -m tollkeeper`."""

from tollkeeper.cli.main import main

main()

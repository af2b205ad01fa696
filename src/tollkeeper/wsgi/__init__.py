"""The gate for WSGI servers: `tollkeeper.wsgi:application`. One process of the server owns the home and its ledger.

It is told by the environment where its things are: TOLLKEEPER_CONFIG, TOLLKEEPER_HOME, and TOLLKEEPER_ENVIRONMENT, a
file of `NAME=value` lines with the providers' keys.
"""

import os

from tollkeeper.wsgi.application import Application

application = Application(os.environ)

__all__ = ["Application", "application"]

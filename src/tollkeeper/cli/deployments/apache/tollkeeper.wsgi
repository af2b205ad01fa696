"""What mod_wsgi runs: the gate with its config, home and providers' keys. Goes to {{ script }}."""

import os

os.environ["TOLLKEEPER_CONFIG"] = "{{ config }}"
os.environ["TOLLKEEPER_HOME"] = "{{ home }}"
# A file of NAME=value lines, as Apache hands no environment on.
os.environ["TOLLKEEPER_ENVIRONMENT"] = "{{ environment }}"

from tollkeeper.wsgi import application  # noqa: E402

# What is wrong with the config stands in Apache's error log now, and not at the first call.
application.start()

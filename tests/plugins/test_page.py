"""docs/plugins.md lists every plugin as it is."""

import re
import sys
from pathlib import Path

from tollkeeper import plugins
from tollkeeper.routes.registry import Registry

PAGE = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text("utf-8")


def test_every_plugin_stands_on_the_page_in_its_order() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    listed = []
    for name, plugin in Registry(plugins).all().items():
        documented = (sys.modules[plugin.__module__].__doc__ or "").splitlines()[0]
        _, _, words = documented.partition(": ")
        assert documented.startswith(f"{name}: ")
        listed.append((name, str(plugin.priority), words[0].upper() + words[1:]))
    assert rows == listed

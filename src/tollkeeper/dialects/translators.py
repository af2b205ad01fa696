"""Every dialect that can be translated, by its name: a folder with a `translator.py` in it is one."""

from importlib import import_module
from pkgutil import iter_modules

import tollkeeper.dialects
from tollkeeper.core.translation import Translator


def _found() -> dict[str, Translator]:
    translators = {}
    for folder in iter_modules(tollkeeper.dialects.__path__):
        if not folder.ispkg:
            continue
        translator: Translator = import_module(f"tollkeeper.dialects.{folder.name}.translator").TRANSLATOR
        if translator.name != folder.name:
            raise ValueError(f"dialects/{folder.name} names its dialect {translator.name!r}")
        translators[translator.name] = translator
    return translators


TRANSLATORS = _found()

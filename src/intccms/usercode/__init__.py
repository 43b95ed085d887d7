"""The user's own modules: whose they are, what was loaded of each, and loading them again."""

from intccms.usercode.freshness import check_current, note, refreshed
from intccms.usercode.modules import MAIN, Source, closure, is_users, modules_in
from intccms.usercode.reloading import older_module, refresh
from intccms.usercode.serving import serve

__all__ = [
    "MAIN",
    "Source",
    "check_current",
    "closure",
    "is_users",
    "modules_in",
    "note",
    "older_module",
    "refresh",
    "refreshed",
    "serve",
]

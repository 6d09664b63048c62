"""Where things lie: the clone, and what this project can make or fetch again."""

from pathlib import Path

# The folder that holds reference/, backends/, suites/ and results/.
CLONE = Path(__file__).resolve().parent.parent
APPLICATION = "abkd-benchmark"


def cache_folder() -> Path:
    """This project's folder in the user's cache directory (`XDG_CACHE_HOME` on Linux); it need not exist."""
    import platformdirs

    return platformdirs.user_cache_path(APPLICATION, appauthor=False)

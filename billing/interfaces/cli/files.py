"""Files that commands write: whole or not at all. Knows nothing of what is in them."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from billing.errors import Misconfigured


class CanNotWrite(Misconfigured):
    """The file can't be written. Facts: `path`."""

    code = "can_not_write"


@contextmanager
def writing(path: Path | None) -> Generator[TextIO]:
    """Open a text stream to a file, or to standard output. The file stands under its name only when the block has ended well.

    Raises `CanNotWrite`.
    """
    if path is None:
        yield sys.stdout
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("x", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> CanNotWrite:
    return CanNotWrite(f"{path} can't be written ({error.strerror}): choose another file.", path=str(path))

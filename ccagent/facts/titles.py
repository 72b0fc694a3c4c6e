"""Where a session's title comes from. The title itself is content and is not kept."""

from __future__ import annotations

from enum import IntEnum


class TitleKind(IntEnum):
    """Who gave a session its title; the order is the rank, for one kind replaces those below it.

    Rule: a title that a person gave beats one that a model made, whichever was written last. Reason: clients write both
    rows again and again, without a time, so only their kind can be compared, and they show the person's.
    """

    MODEL = 1
    PERSON = 2


TITLE_NAMES: dict[int, str] = {TitleKind.MODEL: "model", TitleKind.PERSON: "person"}

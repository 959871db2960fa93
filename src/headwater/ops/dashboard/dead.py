"""Dead letters, and the two things that can be done about them. Each is asked about before it is done."""

from __future__ import annotations

from headwater.ops.dashboard.html import Html, Part, breakable, el, void
from headwater.ops.dashboard.recent import Now
from headwater.ops.dashboard.seen import Dead
from headwater.ops.dashboard.tables import Column, nothing, table
from headwater.ops.dashboard.words import ago, whole

__all__ = ["ACT_PATH", "dead_letters"]

ACT_PATH = "/dashboard/act"


def dead_letters(now: Now, token: str) -> Html:
    """Return the dead letters with their buttons. token: what proves that a form came from this page."""
    if not now.seen.dead:
        return nothing("There are none.")
    columns = (
        Column[Dead]("message", "Message", _message, head=True),
        Column[Dead]("act", "What to do", lambda d: [_ask(d, token, "replay"), _ask(d, token, "discard")]),
        Column[Dead]("subscription", "Subscription", lambda d: breakable(d.subscription)),
        Column[Dead]("attempts", "Attempts", lambda d: whole(d.attempts), number=True),
        Column[Dead]("error", "Last error", lambda d: el("span", d.error, class_="error")),
        Column[Dead]("died", "Given up", lambda d: ago(now.seen.at - d.died_at)),
    )
    more = now.seen.dead_count - len(now.seen.dead)
    return el(
        "div", table("dead", "Dead letters: deliveries that were given up", columns, now.seen.dead),
        el("p", f"{whole(more)} more; `headwater dead list` shows all.") if more > 0 else None,
    )


def _message(letter: Dead) -> Part:
    return [breakable(letter.message), el("small", f" key {letter.key}") if letter.key else None]


WORDS = {
    "replay": ("Replay", "It is delivered again, with its id: what it did is not done twice.", "Yes, replay it"),
    "discard": ("Discard", "It is deleted for good. What it should have done will not be done.", "Yes, discard it"),
}


def _ask(letter: Dead, token: str, action: str) -> Html:
    """Return a button that opens the question; the answer is a form, so it works without a script."""
    word, told, yes = WORDS[action]
    here = f"{action}-{letter.module}-{letter.id}"
    hidden = {"module": letter.module, "id": letter.id, "action": action, "token": token}
    return el(
        "details",
        el("summary", word, el("span", f" {letter.message} of {letter.subscription}", class_="unseen"),
           id=f"summary-{here}"),
        el(
            "form", el("p", told), [void("input", type="hidden", name=k, value=v) for k, v in hidden.items()],
            el("button", yes, type="submit", class_=action, id=f"yes-{here}"),
            method="post", action=ACT_PATH,
        ),
        class_="ask", id=f"ask-{here}",
    )

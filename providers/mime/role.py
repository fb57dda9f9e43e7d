"""
What each part of a letter is for: body, file, invitation, or something that no API carries.

Nothing is dropped. What is neither body nor file is named among the other parts, so that routing
can pass over whoever would lose it. Only the tree is looked at here; octets stay encoded. Sits on
`structure`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from providers.mime.structure import Part

_ALTERNATIVE = "multipart/alternative"
_RELATED = "multipart/related"
_TEXT = "text/plain"
_HTML = "text/html"
_CALENDAR = "text/calendar"
# Any change to what these hold breaks a seal (RFC 1847, RFC 3156, RFC 8551).
_SEALED = frozenset(
    (
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
    )
)
# Programs act on these where they stand; as files they would tell them nothing (RFC 2046 5.2.2,
# 5.2.3, RFC 6522, RFC 5965).
_NOT_FILES = frozenset(
    (
        "message/partial",
        "message/external-body",
        "message/delivery-status",
        "message/global-delivery-status",
        "message/disposition-notification",
        "message/global-disposition-notification",
        "message/feedback-report",
    )
)


@dataclass(slots=True)
class Roles:
    """
    The parts of a letter by what they are for.

    `texts` and `htmls` make one body each, in order; both empty: there is no body.
    """

    texts: list[Part] = field(default_factory=list)
    htmls: list[Part] = field(default_factory=list)
    files: list[Part] = field(default_factory=list)
    calendar: Part | None = None
    other_parts: set[str] = field(default_factory=set)
    sealed: bool = False


def roles_of(root: Part) -> Roles:
    """Sort the parts of a letter; one that ends with its header has none."""
    if root.body is None:
        return Roles()
    sorter = _Sorter()
    body = sorter.body(root, "")
    sorter.roles.texts, sorter.roles.htmls = body.texts, body.htmls
    return sorter.roles


@dataclass(frozen=True, slots=True)
class _Body:
    """Bodies found so far at one place: the same letter as text and as HTML, or one of them."""

    texts: list[Part] = field(default_factory=list)
    htmls: list[Part] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        return self.texts + self.htmls

    @property
    def is_blank(self) -> bool:
        return all(part.is_blank for part in self.parts)

    def is_like(self, other: _Body) -> bool:
        return bool(self.texts) == bool(other.texts) and bool(self.htmls) == bool(other.htmls)

    def completes(self, other: _Body) -> bool:
        return not (self.texts and other.texts) and not (self.htmls and other.htmls)

    def __add__(self, other: _Body) -> _Body:
        return _Body(self.texts + other.texts, self.htmls + other.htmls)


class _Sorter:
    """Walks a tree; gives back bodies, keeps everything else."""

    def __init__(self) -> None:
        self.roles = Roles()

    def body(self, part: Part, parent: str) -> _Body:
        """The body within a part; `parent` is the multipart it stands in, empty for the letter."""
        if part.content_type in _SEALED:
            self.roles.sealed = True
        if not part.is_whole:
            self.roles.other_parts.add(part.content_type)
        if part.content_type == _ALTERNATIVE:
            return self._alternative(part.parts)
        if part.content_type == _RELATED and part.parts:
            return self._related(part)
        if part.is_multipart:
            return self._sequence(part)
        return self._leaf(part, parent)

    def _sequence(self, part: Part) -> _Body:
        """Multipart/mixed, and every multipart that is not known (RFC 2046 5.1.3)."""
        body = _Body()
        for child in part.parts:
            found = self.body(child, part.content_type)
            if found.is_blank and body.parts:
                continue
            if body.is_blank:
                body = found
            elif body.is_like(found):
                body += found
            else:
                # A reader shows them one after the other; of which only one can be the body.
                self.roles.files += found.parts
        return body

    def _alternative(self, parts: Iterable[Part]) -> _Body:
        """Each kind of body once: of several, the later one is the better (RFC 2046 5.1.4)."""
        body = _Body()
        for child in parts:
            found = self.body(child, _ALTERNATIVE)
            body = _Body(
                self._better(body.texts, found.texts), self._better(body.htmls, found.htmls)
            )
        return body

    def _better(self, earlier: list[Part], later: list[Part]) -> list[Part]:
        if not later or (earlier and _Body(later).is_blank):
            return earlier
        if not _Body(earlier).is_blank:
            self.roles.other_parts.update(part.content_type for part in earlier)
        return later

    def _related(self, part: Part) -> _Body:
        """
        Multipart/related (RFC 2387): one part is shown, the others serve it.

        Some programs put text and HTML side by side into it, without an alternative around them.
        """
        start = part.parameters.get("start", "").strip("<> ")
        root = next((p for p in part.parts if start and p.content_id == start), part.parts[0])
        body = self.body(root, _RELATED)
        for child in part.parts:
            if child is root:
                continue
            if not child.is_multipart and (child.is_file or child.content_id):
                self._file(child)
                continue
            found = self.body(child, _RELATED)
            if body.completes(found):
                body += found
            else:
                self.roles.files += found.parts
        return body

    def _leaf(self, part: Part, parent: str) -> _Body:
        is_shown = part.disposition in ("", "inline")
        # Some name their bodies; in a sequence a name tells a file from a body.
        if is_shown and (not part.filename or parent in ("", _ALTERNATIVE, _RELATED)):
            if part.content_type == _TEXT:
                return _Body(texts=[part])
            if part.content_type == _HTML:
                return _Body(htmls=[part])
        is_invitation = parent == _ALTERNATIVE or "method" in part.parameters  # RFC 6047 2.4
        if part.content_type == _CALENDAR and is_shown and is_invitation:
            if self.roles.calendar is None:
                self.roles.calendar = part
            else:
                self.roles.other_parts.add(_CALENDAR)
        elif parent == _ALTERNATIVE and _is_representation(part):
            self.roles.other_parts.add(part.content_type)
        else:
            self._file(part)
        return _Body()

    def _file(self, part: Part) -> None:
        if part.content_type in _NOT_FILES:
            self.roles.other_parts.add(part.content_type)
        else:
            self.roles.files.append(part)


def _is_representation(part: Part) -> bool:
    """Whether a part of an alternative is the letter once more, and not a misplaced file."""
    kind = part.content_type.partition("/")[0]
    return kind in ("text", "application") and not part.is_file and not part.content_id

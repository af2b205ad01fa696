"""What a request loses on its way into another dialect: named in the client's words, or refused."""

from tollkeeper.core.conversation import Conversation
from tollkeeper.core.embedding import Texts
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms


class Losses:
    """Made for one rendering. Begins with what the client's own dialect alone has words for."""

    def __init__(self, conversation: Conversation | Texts, terms: Terms, dialect: str) -> None:
        self._words = conversation.words
        self._terms = terms
        self._dialect = dialect
        self._dropped: dict[str, None] = {}
        if conversation.dialect != dialect:
            if conversation.essential:
                raise self.refused(conversation.essential[0], "only the dialect of the request can do that")
            for name in conversation.own:
                if name in conversation.hints:
                    self.note(name)
                else:
                    self.drop(name)
        for path in conversation.unread:
            self.drop(path)

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    def note(self, what: str) -> None:
        """Left out without changing what is asked for: hints, and what only its origin could read."""
        self._dropped[self._words.get(what, what)] = None

    def drop(self, what: str) -> None:
        """Left out, or refused if the terms are strict. Raises CallerError."""
        if self._terms.strict:
            raise self.refused(what)
        self.note(what)

    def refused(self, what: str, why: str = "") -> CallerError:
        """The error for what must not be left out, whatever the terms say."""
        path = self._words.get(what, what)
        return CallerError(
            f"'{path}' cannot be carried to the model {self._terms.model} ({self._dialect})"
            f"{': ' + why if why else ''}.",
            code="unsupported_parameter",
            param=path,
        )

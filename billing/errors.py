"""Every error that a person may see: a stable code, a sentence, and the facts. Knows nothing of databases or interfaces."""

from typing import ClassVar


class BillingError(Exception):
    """The root of all errors meant for people.

    A concrete class states its `code` (stable, for programs), the family gives HTTP status and exit code,
    and the keyword arguments become attributes, so that callers need not parse the sentence.
    """

    code: ClassVar[str] = "billing_error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, /, **facts: object) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts = facts

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        return self.sentence


class Invalid(BillingError):
    """The input can't be understood or is out of bounds; nothing was tried."""

    code = "invalid"
    http_status = 422
    exit_code = 2


class NotFound(BillingError):
    """There is no such thing in this clinic (another clinic's is answered in the same words)."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class Refused(BillingError):
    """A business rule says no; departments veto by raising this with a sentence for the cashier."""

    code = "refused"
    http_status = 409
    exit_code = 4


class Conflict(BillingError):
    """Somebody else was first: look again, then decide."""

    code = "conflict"
    http_status = 409
    exit_code = 5


class Misconfigured(BillingError):
    """The installation is at fault: a setting, a migration, a plugin."""

    code = "misconfigured"
    http_status = 503
    exit_code = 6


class Forbidden(Refused):
    """The actor lacks a permission. The boundary writes an audit entry of it after the rollback."""

    code = "forbidden"
    http_status = 403


class PluginViolation(BillingError):
    """A plugin broke its contract, so everything was undone. Facts: `plugin`, `item`, `hook`, `reason`."""

    code = "plugin_violation"
    http_status = 500
    exit_code = 7

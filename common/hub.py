"""The Hugging Face Hub: its refusals in our own words. Its client takes the token from HF_TOKEN, or from a login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from common.errors import HubError, PenstockError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN_VARIABLE = "HF_TOKEN"


def check_repo_id(repo_id: str) -> str:
    """Returns `repo_id`, such as `me/quotes`. Raises ValueError for what cannot be the name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"'{repo_id}' cannot be the name of a dataset on the hub: {error}") from None
    return repo_id


def has_token() -> bool:
    """Is there a token, in HF_TOKEN or from a login? Whether the hub takes it, only the hub can say."""
    from huggingface_hub import get_token

    return bool(get_token())


def make_repository(api: HfApi, repo_id: str, private: bool) -> str:
    """Makes a dataset on the hub if it is not there, and returns its full name.

    Raises:
        UsageError: it is to be private, is there, and is public.
    """
    name = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
    if private and not api.dataset_info(name).private:
        raise UsageError(
            f"'{name}' is there already, and it is public: make it private in its settings, push to another one, or "
            "push without private"
        )
    return name


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Turns what goes wrong at the hub into a HubError.

    Args:
        doing: what is not done then, such as "dataset 'me/quotes' was not pushed".
    """
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:  # the hub's client, `datasets`, the HTTP library and Xet have errors of their own
        raise HubError(f"{doing}: {_reason(error)}") from error


def http_status(error: BaseException | None) -> int | None:
    """The status with which the hub answered, wherever in the chain of causes it is."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(status := getattr(response, "status_code", None), int):
            return status
        error = error.__cause__ or error.__context__
    return None


def _reason(error: Exception) -> str:
    from huggingface_hub import constants

    said = str(error).strip().replace("\n", " ") or type(error).__name__
    settings = f"{constants.ENDPOINT}/settings/tokens"
    if _is(error, "OfflineModeIsEnabled"):
        return "HF_HUB_OFFLINE is set; unset it"
    if _is(error, "ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError"):
        return f"{constants.ENDPOINT} cannot be reached ({said}); try again when it can"
    match http_status(error):
        case 401 if not has_token():
            return (
                f"there is no such dataset for those without a token: export {TOKEN_VARIABLE} (make one at {settings})"
            )
        case 401:
            return f"the hub refuses the token: make a new one at {settings} and export it as {TOKEN_VARIABLE}"
        case 403:
            return (
                f"the token may not do this; it needs the right to write there, see {settings} (the hub says: {said})"
            )
        case 404:
            return f"there is no such dataset, or the token in {TOKEN_VARIABLE} may not see it ({said})"
        case int(status) if status == 429 or status >= 500:
            return f"the hub cannot do it now; try again later (it says: {said})"
    return said if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {said}"


def _is(error: BaseException | None, *names: str) -> bool:
    """By name: the HTTP library below the hub's client is not the same in each version of it."""
    while error is not None:
        if any(kind.__name__ in names for kind in type(error).__mro__):
            return True
        error = error.__cause__ or error.__context__
    return False

"""The Hugging Face Hub: its refusals in plain words. Its client takes the token from HF_TOKEN, or from a login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from common.errors import HubError, PenstockError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN_VARIABLE = "HF_TOKEN"


def check_repo_id(repo_id: str) -> str:
    """Returns `repo_id`, such as `me/quotes`. Raises ValueError for an impossible repository name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"'{repo_id}' cannot be the name of a dataset on the hub: {error}") from None
    return repo_id


def has_token() -> bool:
    """Is there a token, in HF_TOKEN or from a login? Only the hub can say whether it is valid."""
    from huggingface_hub import get_token

    return bool(get_token())


def make_repository(api: HfApi, repo_id: str, private: bool) -> str:
    """Creates a dataset on the hub if it does not exist, and returns its full name.

    Raises:
        UsageError: it should be private, but exists and is public.
    """
    name = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
    if private and not api.dataset_info(name).private:
        raise UsageError(
            f"'{name}' already exists and is public: make it private in its settings, push to another dataset, or "
            "push without private"
        )
    return name


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Turns errors of the hub into a HubError.

    Args:
        doing: what failed, such as "dataset 'me/quotes' was not pushed".
    """
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:  # the hub's client, `datasets`, the HTTP library and Xet each have their own errors
        raise HubError(f"{doing}: {_reason(error)}") from error


def http_status(error: BaseException | None) -> int | None:
    """The status of the hub's answer, from anywhere in the chain of causes."""
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
            return f"there is no such dataset visible without a token: export {TOKEN_VARIABLE} (make one at {settings})"
        case 401:
            return f"the hub refuses the token: make a new one at {settings} and export it as {TOKEN_VARIABLE}"
        case 403:
            return f"the token lacks the permission to write there: grant it at {settings} (the hub says: {said})"
        case 404:
            return f"there is no such dataset, or the token in {TOKEN_VARIABLE} may not see it ({said})"
        case int(status) if status == 429 or status >= 500:
            return f"the hub is unavailable; try again later (it says: {said})"
    return said if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {said}"


def _is(error: BaseException | None, *names: str) -> bool:
    """Whether the error has this name; versions of the hub's client use different HTTP libraries."""
    while error is not None:
        if any(kind.__name__ in names for kind in type(error).__mro__):
            return True
        error = error.__cause__ or error.__context__
    return False

"""Talking to the hub: what goes wrong there is one clear error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
from huggingface_hub import constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from robots.errors import ConfigError, LinkError

VERSION_TAG = "v3.0"
"""The tag by which LeRobot finds the version that it can read; it is moved when all has arrived."""

AGAIN = "Run the same command again: what has arrived isn't sent twice"
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token that may do this"


@contextlib.contextmanager
def talking(repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into ours.

    Raises:
        ConfigError: the name can't be a repository's.
        LinkError: the hub refuses, or can't be reached.
    """
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(
            _line(error), field="repo_id", value=repo_id, remedy="Write it like NAME/DATASET"
        ) from error
    except OfflineModeIsEnabled as error:
        raise LinkError(
            "the hub is switched off by HF_HUB_OFFLINE", field="repo_id", value=repo_id
        ) from error
    except RevisionNotFoundError as error:
        raise LinkError(
            "has no such version", field="repo_id", value=repo_id, remedy="Give another --revision"
        ) from error
    except RepositoryNotFoundError as error:
        raise LinkError(
            f"{constants.ENDPOINT} doesn't show this data set to you",
            field="repo_id",
            value=repo_id,
            remedy=_LOG_IN,
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError, RuntimeError) as error:
        # huggingface_hub's and hf_xet's failed transfers are RuntimeErrors; the cause says more.
        response = getattr(error, "response", None)
        status = response.status_code if response is not None else 0
        raise LinkError(
            f"{constants.ENDPOINT}: {_line(error.__cause__ or error)}",
            field="repo_id",
            value=repo_id,
            remedy=_LOG_IN if status in (401, 403) else AGAIN,
        ) from error


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")

"""The three forms of an error of Wix."""

from collections.abc import Sequence
from typing import Any

from blogworker.simulator.edge import ApiError
from blogworker.simulator.ricos_rules import Violation


def application_error(status: int, code: str, description: str, data: Any = None) -> ApiError:
    """An error with a code, such as `NOT_FOUND`."""
    error = {"code": code, "description": description, "data": data or {}}
    return ApiError(status, {"message": description, "details": {"applicationError": error}})


def validation_error(violations: Sequence[Violation]) -> ApiError:
    """Invalid fields. Each violation has a path and a rule."""
    first = violations[0]
    listed = [violation.as_json() for violation in violations[:50]]
    message = f'INVALID_ARGUMENT: "{first.field}" {first.description}'
    return ApiError(400, {"message": message, "details": {"validationError": {"fieldViolations": listed}}})


def oauth_error(error: str, description: str, status: int = 400) -> ApiError:
    """An error of OAuth 2.0 (RFC 6749, section 5.2)."""
    return ApiError(status, {"error": error, "error_description": description})


def not_found(what: str) -> ApiError:
    return application_error(404, "NOT_FOUND", f"{what} not found")


def required(field: str) -> Violation:
    return Violation(field, "must not be empty", "REQUIRED_FIELD")

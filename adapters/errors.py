"""What can go wrong while fitting (see ``models/errors.py`` for the two roots).

InputError
├── DatasetTooSmall       fewer examples or classes than the method can learn from
├── RequirementMissing    the method needs something that was not given (class names, a source, parents, ...)
├── TaskUnsupported       the method cannot do what is asked, such as predicting a number
├── TargetOutOfRange      a target is not finite, or too large for a head
├── MethodUnknown         there is no method of that name
├── ParameterInvalid      a method's parameter is unknown or has a value that it cannot have
└── FitStopped            the fit ended before it was done
    ├── Cancelled           somebody asked it to
    └── DeadlineExceeded    `max_seconds` is over and nothing had been fitted yet
InternalError
└── ManifestInvalid       a stored manifest is not one that this version can read
"""

from models.errors import InputError, InternalError


class DatasetTooSmall(InputError):
    """Fewer examples or classes than the method can learn from."""

    code = "dataset-too-small"


class RequirementMissing(InputError):
    """The method needs something that was not given."""

    code = "requirement-missing"


class TaskUnsupported(InputError):
    """The method cannot do what is asked, such as predicting a number."""

    code = "task-unsupported"


class TargetOutOfRange(InputError):
    """A target is not finite, or too large for a head."""

    code = "target-out-of-range"


class MethodUnknown(InputError):
    """There is no method of that name."""

    code = "method-unknown"


class ParameterInvalid(InputError):
    """A method's parameter is unknown or has a value that it cannot have."""

    code = "parameter-invalid"


class FitStopped(InputError):
    """The fit ended before it was done."""

    code = "fit-stopped"


class Cancelled(FitStopped):
    """Somebody asked the fit to stop."""

    code = "cancelled"


class DeadlineExceeded(FitStopped):
    """`max_seconds` is over and nothing had been fitted yet."""

    code = "deadline-exceeded"


class ManifestInvalid(InternalError):
    """A stored manifest is not one that this version can read."""

    code = "manifest-invalid"

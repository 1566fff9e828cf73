"""The ways a job ends early that are nobody's bug."""


class UserError(Exception):
    """Something that the user can put right; its text is a sentence that reaches the panel as it is."""


class EngineError(UserError):
    """The chosen engine can't run here, or can't go on; another one could do the same work."""


class Cancelled(Exception):
    """The user asked the running job to stop; raised by a job's `report`."""

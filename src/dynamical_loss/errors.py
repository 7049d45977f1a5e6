"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake that the user can mend; its message is one line that names the key or file and the remedy."""

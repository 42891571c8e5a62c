"""The samples of the session, and the form in which they are chosen."""

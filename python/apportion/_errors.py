"""What can go wrong, by whose fault it is. Every message says what, where and what would be right."""


class ApportionError(Exception):
    """Whatever makes a run impossible."""


class SettingError(ApportionError, ValueError):
    """A setting that cannot be meant, or settings that exclude each other."""


class InputError(ApportionError, ValueError):
    """A table that cannot be read, lacks a column, or has one of a wrong type."""


class MissingInputError(ApportionError, FileNotFoundError):
    """A path, folder or glob at which no file is found."""


class TableTypeError(ApportionError, TypeError):
    """Something that is given for a table and is none."""


class TooManyRejectsError(ApportionError):
    """More rejected rows than `max_rejects` allows."""


class NoOrderError(ApportionError, LookupError):
    """An order that a run does not have."""

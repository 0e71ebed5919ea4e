"""Secure Ray on Kubernetes, as Pulumi components.

What is public stands in ``__init__.pyi``. It is imported when it is first used: all of it together takes
seconds, which a policy pack or a command line that needs one constant should not wait for.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

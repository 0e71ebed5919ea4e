"""Rayfort's policy pack: ``pulumi preview --policy-pack policies``. The rules are in ``rayfort.policies``."""

from rayfort.policies.pack import serve

serve()

"""The permissions in config/sros2_policy.xml."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from tests.support import ROOT

POLICY = ROOT / 'config' / 'sros2_policy.xml'


def allowed(node: str, kind: str, verb: str) -> set[str]:
    """Full names of the topics, services or actions that a node may publish, subscribe to, reply to or execute."""
    [profile] = ElementTree.parse(POLICY).findall(f".//profile[@node='{node}']")
    names = {each.text or '' for group in profile.findall(f'{kind}s[@{verb}="ALLOW"]') for each in group}
    return {name.replace('~', f'/{node}') if name[0] in '~/' else f'/{name}' for name in names}

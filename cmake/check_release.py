"""Checks what only a release needs, and names everything that is missing: `make check-release`.

The rest is checked by tests and by `catkin_prepare_release`.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESERVED = re.compile(r'(^|[.@/])(localhost|(\w[\w-]*\.)*(invalid|test|local|example(\.(com|net|org))?))([/:]|$)')
"""Names that lead nowhere (RFC 2606, RFC 6762)."""


def problems(package: ElementTree.Element, changelog: str) -> list[str]:
    """Return what is missing in package.xml (REP 149) and CHANGELOG.rst (REP 132) before a release."""
    found = []
    for maintainer in package.findall('maintainer'):
        email = maintainer.get('email', '')
        if '@' not in email or RESERVED.search(email):
            found.append(f'package.xml: maintainer: "{email}" leads nowhere; fill in an address that somebody reads')
    urls = {url.get('type', 'website'): (url.text or '').strip() for url in package.findall('url')}
    for kind in ('website', 'bugtracker', 'repository'):
        if kind not in urls:
            found.append(f'package.xml: there is no <url type="{kind}">; fill in the address of the {kind}')
        elif not urls[kind].startswith('https://') or RESERVED.search(urls[kind].removeprefix('https://')):
            found.append(f'package.xml: <url type="{kind}">: "{urls[kind]}" leads nowhere; fill in the real address')
    version = package.findtext('version', '')
    heading = re.search(rf'^(Forthcoming|{re.escape(version)} \(\d{{4}}-\d\d-\d\d\))\n-+\n\* ', changelog, re.MULTILINE)
    if heading is None:
        found.append(f'CHANGELOG.rst: no changes under "Forthcoming" or "{version} (<date>)"; describe them')
    return found


def main() -> None:
    """Print the problems; exit with status 1 if there are any."""
    found = problems(ElementTree.parse(ROOT / 'package.xml').getroot(), (ROOT / 'CHANGELOG.rst').read_text())
    sys.exit('not ready for a release:\n' + '\n'.join(found) if found else 0)


if __name__ == '__main__':
    main()

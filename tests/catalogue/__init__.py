# SPDX-License-Identifier: MIT
"""The daemons that moult is tried on: the rows of the README's table, in its order."""

from catalogue import languages, mail, network, proxies, services, stores, web

ALL = [*web.DAEMONS, *proxies.DAEMONS, *languages.DAEMONS, *stores.DAEMONS, *mail.DAEMONS,
       *network.DAEMONS, *services.DAEMONS]

# SPDX-License-Identifier: MIT
"""The daemons that moult is tried on: the rows of the table in README.md here, in its order."""

from catalogue import (interpreters, java, languages, mail, messages, network, proxies, python,
                       ruby, services, stores, streams, web)

ALL = [*web.DAEMONS, *proxies.DAEMONS, *languages.DAEMONS, *python.DAEMONS, *ruby.DAEMONS,
       *java.DAEMONS, *interpreters.DAEMONS, *streams.DAEMONS, *stores.DAEMONS, *mail.DAEMONS,
       *network.DAEMONS, *services.DAEMONS, *messages.DAEMONS]

# SPDX-License-Identifier: MIT
"""A site in one file, run by `runserver`: a parent that watches the files, and a child that serves."""
import sys

import django.conf
import django.core.management
import django.http
import django.urls
import django.views.decorators.csrf

LONG = b"@TAG@ " * (1 << 20)


@django.views.decorators.csrf.csrf_exempt
def short(request):
    return django.http.HttpResponse("GEN @TAG@ django\n")


def long(request):
    return django.http.HttpResponse(LONG)


urlpatterns = [django.urls.path("", short), django.urls.path("download", long)]
if not django.conf.settings.configured:
    django.conf.settings.configure(
        DEBUG=True, ROOT_URLCONF=sys.modules[__name__], ALLOWED_HOSTS=["*"])
django.core.management.execute_from_command_line([sys.argv[0], "runserver", *sys.argv[1:]])

# SPDX-License-Identifier: MIT
"""Servers in Java, compiled before they are tried."""

import subprocess

from catalogue.python import Http, bad_port
from harness import build


def jars(*names):
    return ":".join(f"/usr/share/java/{name}.jar" for name in names)


JETTY = jars("jetty9-server", "jetty9-util", "jetty9-io", "jetty9-http", "servlet-api")
TOMCAT = jars(*(f"tomcat10-{name}" for name in (
    "catalina", "coyote", "util", "util-scan", "juli", "api", "servlet-api", "jni",
    "annotations-api", "jaspic-api")), "tomcat10-embed-core")


def server(name, program, model, classes="", packages=(), rate=80):
    """What is compiled, and how it is run: a Java machine that is small and starts fast."""
    def prepare(setting):
        result = subprocess.run(
            ["javac", "-nowarn", "-d", str(setting.directory), "-cp", classes,
             str(build.DAEMONS / f"{program}.java")], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def command(setting, tag):
        return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m",
                "-cp", f"{setting.directory}:{classes}", program, str(setting.port), tag,
                str(setting.directory)]

    return Http(name, (*packages, "openjdk-17-jre-headless", "openjdk-17-jdk-headless"), model,
                command, prepare, failing=bad_port, rate=rate)


DAEMONS = [
    server("Java, blocking", "BlockingServer", "a thread that accepts, a pool"),
    server("Java, NIO", "SelectorServer", "one thread, a selector"),
    server("Java, jdk.httpserver", "JdkServer", "a selector, a pool"),
    server("Jetty", "JettyServer", "a thread that accepts, 2 selectors, a pool", JETTY,
           ("libjetty9-java",)),
    server("Tomcat", "TomcatServer", "a thread that accepts, a selector, a pool", TOMCAT,
           ("libtomcat10-java", "libtomcat10-embed-java")),
]

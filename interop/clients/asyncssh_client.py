"""asyncssh as its manual uses it: it reads the configuration, the known hosts and the keys of the home by itself."""

import asyncio
import os
import sys

import asyncssh


def check(what, got, expect):
    if got != expect:
        sys.exit(f"{what}: {got!r}, not {expect!r}")


async def main():
    async with asyncssh.connect("build") as connection:
        done = await connection.run("cat; echo err >&2; exit 7", input="one\ntwo\n")
        check("a program", (done.stdout, done.stderr, done.exit_status), ("one\ntwo\n", "err\n", 7))
        done = await connection.run("echo $LC_TIME", env={"LC_TIME": "C"})
        check("a variable", done.stdout, "C\n")
        running = [connection.run(f"sleep 0.{9 - n}; echo {n}; exit {n}") for n in range(8)]
        for n, done in enumerate(await asyncio.gather(*running)):
            check("one of several channels", (done.stdout, done.exit_status), (f"{n}\n", n))
        done = await connection.run("kill -TERM $$")
        check("a signal", done.exit_signal and done.exit_signal[0], "TERM")
        done = await connection.run("yes 0123456789abcdef | head -c 3000000")
        check("much", len(done.stdout), 3000000)
        done = await connection.run("a=536-22; echo $a-8391")
        check("a value", done.stdout, "[pii.ssn]\n")
        try:
            await connection.open_connection("127.0.0.1", 1)
            sys.exit("a forward was opened")
        except asyncssh.ChannelOpenError:
            pass
        done = await connection.run("echo still", check=True)
        check("after a refusal", done.stdout, "still\n")
    how = {"username": os.environ["BUILD_SSH_USER"], "password": os.environ["BUILD_SSH_PASSWORD"], "client_keys": None}
    how["preferred_auth"] = "password"
    async with asyncssh.connect("build", **how) as connection:
        done = await connection.run("echo by a password")
        check("by a password", done.stdout, "by a password\n")
    print("asyncssh: done")


asyncio.run(main())

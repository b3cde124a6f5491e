"""paramiko as its manual uses it: the configuration that OpenSSH's clients read, known hosts, keys by their usual names."""

import os
import sys

import paramiko

config = paramiko.SSHConfig.from_path(os.path.expanduser("~/.ssh/config")).lookup("build")


def connected(**how):
    client = paramiko.SSHClient()
    client.load_system_host_keys()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(config["hostname"], int(config["port"]), config["user"], timeout=20, **how)
    return client


def check(what, got, expect):
    if got != expect:
        sys.exit(f"{what}: {got!r}, not {expect!r}")


client = connected()
stdin, stdout, stderr = client.exec_command("cat; echo err >&2; exit 7")
stdin.write("one\ntwo\n")
stdin.channel.shutdown_write()
check("output", stdout.read(), b"one\ntwo\n")
check("error", stderr.read(), b"err\n")
check("status", stdout.channel.recv_exit_status(), 7)

_, stdout, _ = client.exec_command("echo $LC_TIME", environment={"LC_TIME": "C"})
check("a variable", stdout.read(), b"C\n")

running = [client.exec_command(f"sleep 0.{9 - n}; echo {n}; exit {n}") for n in range(8)]
for n, (_, stdout, _) in enumerate(running):
    check("one of several channels", (stdout.read(), stdout.channel.recv_exit_status()), (f"{n}\n".encode(), n))

_, stdout, _ = client.exec_command("yes 0123456789abcdef | head -c 3000000")
check("much", len(stdout.read()), 3000000)
_, stdout, _ = client.exec_command("a=536-22; echo $a-8391")
check("a value", stdout.read(), b"[pii.ssn]\n")

transport = client.get_transport()
try:
    transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 1), timeout=20)
    sys.exit("a forward was opened")
except paramiko.ChannelException:
    pass
_, stdout, _ = client.exec_command("echo still")
check("after a refusal", stdout.read(), b"still\n")
client.close()

by_password = connected(password=os.environ["BUILD_SSH_PASSWORD"], look_for_keys=False, allow_agent=False)
_, stdout, _ = by_password.exec_command("echo by a password")
check("by a password", stdout.read(), b"by a password\n")
by_password.close()

try:
    connected(password="wrong", look_for_keys=False, allow_agent=False)
    sys.exit("a wrong password was taken")
except paramiko.AuthenticationException:
    pass
print("paramiko: done")
